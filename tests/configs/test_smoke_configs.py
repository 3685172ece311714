"""Every decoder learns on toy scenes: the loss falls, gradients are finite, at batch 1 and without objects too."""

from pathlib import Path

import pytest
import torch

from frozen_det.config import load_config

FILES = sorted((Path(__file__).resolve().parents[2] / "configs" / "smoke").glob("*_frozen-*_plain-*_toy.py"))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from frozen_det.datasets.toy.toy_scenes import write_toy_scenes

    return write_toy_scenes(
        tmp_path_factory.mktemp("toys") / "scenes", num_train=8, num_val=4, report=lambda text: None
    )


def built(path, scenes):
    """Model with its pretrained weights, and the two training samples, of a smoke config."""
    from mmdet.registry import DATASETS, MODELS
    from mmengine.registry import DefaultScope

    cfg = load_config(path, {"data_root": str(scenes)})
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
        dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, scenes=dict(num_train=8, num_val=4)))
    model.init_weights()
    return model.train(), [dataset[i] for i in range(2)]


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
def test_a_decoder_learns_two_images_and_stands_a_single_one_without_objects(path, scenes):
    model, samples = built(path, scenes)
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
