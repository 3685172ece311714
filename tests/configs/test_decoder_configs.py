"""Recent decoders on frozen backbones: every shipped config takes a step on random weights, only decoders change."""

from pathlib import Path

import pytest
import torch

from frozen_det.config import load_config
from frozen_det.weights.digest import fingerprint

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "detection"
KINDS = ("dino", "deformable-detr", "mask2former", "rtmdet", "atss")
FILES = sorted(path for kind in KINDS for path in CONFIGS.glob(f"{kind}_frozen-*.py"))

# Small backbones of the same kinds, few queries and layers: what is tested is how the parts fit.
BACKBONES = {
    "resnet50tv": {},
    "swintiny": dict(embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 2)),
    "convnexttiny": dict(dims=(24, 48, 96, 192), depths=(1, 1, 1, 1)),
    "vitb16dinov3": dict(embed_dim=48, num_heads=3),
}
SMALL = {
    "dino": {"num_queries": 20, "encoder.num_layers": 1, "decoder.num_layers": 2, "dn_cfg.group_cfg.num_dn_queries": 4},
    "deformable-detr": {"num_queries": 20, "encoder.num_layers": 1, "decoder.num_layers": 2},
    "mask2former": {
        "panoptic_head.num_queries": 20,
        "panoptic_head.pixel_decoder.encoder.num_layers": 1,
        "panoptic_head.transformer_decoder.num_layers": 2,
        "train_cfg.num_points": 256,
    },
}


def small(path):
    kind, state = path.stem.split("_")[:2]
    body = BACKBONES[state.removeprefix("frozen-")]
    options = {
        **SMALL.get(kind, {}),
        "backbone.weights": "random",
        **{f"backbone.body.{key}": value for key, value in body.items()},
    }
    return load_config(path, {f"model.detector.{key}": value for key, value in options.items()})


def batch_of_two(with_masks, size_hw=(96, 128)):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    samples = []
    for label in (3, 79):
        masks = torch.zeros(2, *size_hw, dtype=torch.uint8)
        masks[0, 8:40, 10:60] = masks[1, 50:90, 40:120] = 1
        instances = InstanceData(
            bboxes=torch.tensor([[10.0, 8, 60, 40], [40, 50, 120, 90]]), labels=torch.tensor([label, 0])
        )
        if with_masks:
            instances.masks = BitmapMasks(masks.numpy(), *size_hw)
        samples.append(
            DetDataSample(
                gt_instances=instances,
                metainfo=dict(img_shape=size_hw, ori_shape=size_hw, scale_factor=(1.0, 1.0), img_id=label, img_path=""),
            )
        )
    torch.manual_seed(0)
    return dict(inputs=[torch.randint(256, (3, *size_hw), dtype=torch.uint8) for _ in samples], data_samples=samples)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_step_trains_the_decoder_and_leaves_the_backbone_and_a_prediction_follows(path):
    from mmdet.registry import MODELS

    model, with_masks = MODELS.build(small(path).model), path.stem.startswith("mask2former")
    model.init_weights()
    model.train()
    body = {**dict(model.backbone.named_parameters()), **dict(model.backbone.named_buffers())}
    before = fingerprint(body)
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch_of_two(with_masks), training=True), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None for p in model.backbone.parameters())
    decoder = {name: p for name, p in model.named_parameters() if not name.startswith("backbone.")}
    assert decoder and all(p.requires_grad for p in decoder.values())
    without = [name for name, p in decoder.items() if p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in decoder.values() if p.grad is not None)
    assert len(without) < 0.1 * len(decoder), without
    assert fingerprint(body) == before
    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(batch_of_two(with_masks), training=False), mode="predict")
    assert len(found) == 2 and {"bboxes", "scores", "labels"} <= set(found[0].pred_instances.keys())


def test_every_decoder_has_a_config_for_every_stated_backbone():
    names = {path.stem.rsplit("_", 2)[0] for path in FILES}
    for kind in ("dino", "deformable-detr"):
        for body in ("resnet50tv", "swintiny", "convnexttiny"):
            assert f"{kind}_frozen-{body}_channelmapper" in names
        assert f"{kind}_frozen-vitb16dinov3_simplepyramid" in names
