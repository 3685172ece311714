"""Every decoder learns on toy scenes: the loss falls, gradients are finite, at batch 1 and without objects too."""

from pathlib import Path

import pytest
import torch

from frozen_det.config import load_config

SMOKE = Path(__file__).resolve().parents[2] / "configs" / "smoke"
FILES = sorted(SMOKE.glob("*_frozen-*_plain-*_toy.py"))
HEADS = sorted(SMOKE.glob("*_toy128.py"))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from frozen_det.datasets.toy.toy_scenes import write_toy_scenes

    return write_toy_scenes(
        tmp_path_factory.mktemp("toys") / "scenes", num_train=8, num_val=4, report=lambda text: None
    )


def built(path, scenes):
    """Model with its pretrained weights, the two training samples and the first of validation, of a smoke config."""
    from mmdet.registry import DATASETS, MODELS
    from mmengine.registry import DefaultScope

    cfg = load_config(path, {"data_root": str(scenes)})
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
        train, val = (
            DATASETS.build(dict(cfg[f"{split}_dataloader"].dataset, scenes=dict(num_train=8, num_val=4)))
            for split in ("train", "val")
        )
    model.init_weights()
    return model.train(), [train[i] for i in range(2)], val[0]


def loss_of(model, samples):
    torch.manual_seed(0)  # samplers draw the same regions, so that losses compare
    batch = dict(inputs=[s["inputs"] for s in samples], data_samples=[s["data_samples"].clone() for s in samples])
    losses = model(**model.data_preprocessor(batch, training=True), mode="loss")
    return model.parse_losses(losses)[0]


def gradients_are_finite(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    with_gradient = [p.grad for p in trained if p.grad is not None]
    return bool(with_gradient) and all(torch.isfinite(g).all() for g in with_gradient)


def without_objects(sample):
    empty = dict(sample, data_samples=sample["data_samples"].clone())
    instances = empty["data_samples"].gt_instances
    empty["data_samples"].gt_instances = instances[torch.zeros(len(instances), dtype=torch.bool)]
    return empty


@pytest.mark.parametrize("path", FILES, ids=[f.stem for f in FILES])
def test_a_decoder_learns_two_images_and_accepts_a_single_one_without_objects(path, scenes):
    model, samples, _ = built(path, scenes)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    body_before = [p.clone() for p in model.backbone.parameters()]
    values = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = loss_of(model, samples)
        loss.backward()
        assert gradients_are_finite(model)
        values.append(loss.item())
        optimizer.step()
    assert values[-1] < 0.95 * values[0], values
    assert all(torch.equal(a, b) for a, b in zip(body_before, model.backbone.parameters()))
    for batch in ([samples[0]], [without_objects(samples[0])], [samples[0], without_objects(samples[1])]):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        assert torch.isfinite(loss) and gradients_are_finite(model)


@pytest.mark.parametrize("path", HEADS, ids=[f.stem.split("_")[0] for f in HEADS])
def test_every_kind_of_head_takes_a_step_and_predicts_what_validation_loads(path, scenes):
    from mmengine.logging import MessageHub

    model, samples, shown = built(path, scenes)
    for counter in ("iter", "epoch"):  # which a Runner sets; TOOD and CondInst ask
        MessageHub.get_current_instance().update_info(counter, 0)
    body_before = [p.clone() for p in model.backbone.parameters()]
    loss = loss_of(model, samples)
    loss.backward()
    assert torch.isfinite(loss) and gradients_are_finite(model)
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3).step()
    assert all(torch.equal(a, b) for a, b in zip(body_before, model.backbone.parameters()))
    with torch.no_grad():
        (found,) = model.eval().val_step(dict(inputs=[shown["inputs"]], data_samples=[shown["data_samples"]]))
    assert {"bboxes", "scores", "labels"} <= set(found.pred_instances.keys())


def test_there_are_at_least_ten_kinds_of_heads():
    assert len({f.stem.split("_")[0] for f in HEADS}) >= 10
