"""Adapters inside a whole detector: built from a config, step 0, merged predictions."""

import copy

import pytest
import torch

from frozen_det.config import load_config
from frozen_det.models import Detector

from .families import images, lively, stir


def detector(adapters=None):
    """The quickstart's detector, small, on a tiny backbone; the same weights for every config of adapters."""
    cfg = load_config(
        "quickstart",
        {
            "model.detector.neck.out_channels": 16,
            "model.detector.rpn_head.feat_channels": 16,
            "model.detector.roi_head.bbox_head.fc_out_channels": 32,
            "model.detector.test_cfg.rcnn.score_thr": 0.0,
            "model.detector.test_cfg.rcnn.max_per_img": 20,
        },
    )
    cfg.model.detector.backbone = dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="test_resnet"),
        weights="random",
        adapters=adapters,
    )
    options = {key: value for key, value in cfg.model.items() if key != "type"}
    torch.manual_seed(0)
    model = Detector(**options)
    lively(model.backbone)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if not name.startswith("backbone."):
            parameter.data.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
    return model.eval()


@torch.no_grad()
def predictions(model, dtype):
    from mmdet.structures import DetDataSample

    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=(96, 128),
                ori_shape=(96, 128),
                scale_factor=(1.0, 1.0),
                pad_shape=(96, 128),
                batch_input_shape=(96, 128),
            )
        )
        for _ in range(2)
    ]
    return [sample.pred_instances for sample in model.predict(images(96, 128, dtype=dtype), samples)]


def same(first, second, tolerance: float) -> bool:
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.labels, b.labels)
        assert len(a) == 20
        if (a.bboxes - b.bboxes).abs().max() > tolerance * 128 or (a.scores - b.scores).abs().max() > tolerance:
            return False
    return True


def test_a_detector_with_fresh_adapters_predicts_what_the_frozen_one_does():
    for plain, adapted in zip(
        predictions(detector(), torch.float32), predictions(detector(dict(type="parallel")), torch.float32), strict=True
    ):
        assert torch.equal(plain.bboxes, adapted.bboxes)
        assert torch.equal(plain.scores, adapted.scores)


@pytest.mark.parametrize("kind", ["parallel", "series", "lora"])
def test_a_merged_detector_predicts_what_the_unmerged_one_does(kind):
    model = detector(dict(type=kind))
    plain = predictions(model, torch.float32)
    stir(model.backbone.adapters, 0.3)
    exact = copy.deepcopy(model).double()
    apart, exactly = predictions(model, torch.float32), predictions(exact, torch.float64)
    model.backbone.merge()
    exact.backbone.merge()
    assert same(exactly, predictions(exact, torch.float64), 1e-10)
    assert same(apart, predictions(model, torch.float32), 1e-4)
    assert any((a.scores - b.scores).abs().max() > 1e-3 for a, b in zip(plain, apart, strict=True))
    assert not any("adapters" in key for key in model.state_dict())
