"""Every detector that has a short name builds on a frozen backbone, and takes a training step."""

import math

import pytest

from frozen_det.engine.choices.detectors import KNOWN, decoder_named


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_it_builds_and_takes_a_training_step(name, scenes):
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from frozen_det.benchmarks.detector_batch import synthetic_batch
    from frozen_det.benchmarks.detector_check import losses_of
    from frozen_det.config import load_config
    from frozen_det.engine.choices import Choices, chosen

    choices = Choices(data=str(scenes), detector=name, backbone="timm/resnet10t", weights="random")
    config, options = chosen("custom", choices, log=lambda line: None)
    few = {"num_queries": 20, "encoder.num_layers": 1, "decoder.num_layers": 2}  # for a second instead of ten
    lighter = {f"model.detector.{key}": value for key, value in few.items() if "detr" in name or name == "dino"}
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(load_config(config, {**options, **lighter}).model)
    detector.init_weights()  # a deformable DETR's embedding of levels is whatever lay in memory until then
    masks = decoder_named(name).masks
    assert detector.with_mask == masks == (name in ("mask", "cascade-mask", "condinst"))
    detector.train()
    batch = synthetic_batch(64, num_classes=10, semantic_scale=1.0, with_masks=masks, seed=0)
    total, _ = detector.parse_losses(losses_of(detector, batch, 0))
    total.backward()
    assert math.isfinite(total.item())
    assert not any(one.grad is not None for one in detector.backbone.parameters())
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in detector.neck.parameters())
