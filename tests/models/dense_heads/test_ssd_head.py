"""SSD on a frozen backbone, as the shipped config has it: it learns and it predicts."""

from pathlib import Path

import pytest
import torch

from frozen_det.config import load_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "detection"


@pytest.fixture(scope="module")
def ssd():
    from mmdet.registry import MODELS

    (path,) = CONFIGS.glob("ssd300_frozen-*.py")
    small = {"body.name": "resnet10t", "weights": "random"}
    cfg = load_config(path, {f"model.detector.backbone.{key}": value for key, value in small.items()})
    cfg.model.detector.neck.out_channels = [128, 256, 64, 32, 32, 32]  # those of the backbone, then narrow ones
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def batch():
    from frozen_det.benchmarks.detector_batch import synthetic_batch

    return synthetic_batch(300, num_classes=20)


def test_its_losses_are_finite_and_reach_the_head(ssd):
    ssd.train()
    loss, _ = ssd.parse_losses(ssd(**ssd.data_preprocessor(batch(), True), mode="loss"))
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None for p in ssd.bbox_head.parameters())


def test_it_predicts_where_mmdets_own_head_ends_in_an_attribute_error(ssd):
    from mmdet.models.dense_heads import SSDHead

    ssd.eval()
    with torch.no_grad():
        found = ssd.test_step(batch())
        assert [set(sample.pred_instances.keys()) >= {"bboxes", "scores", "labels"} for sample in found] == [True, True]
        own, ssd.bbox_head.__class__ = ssd.bbox_head.__class__, SSDHead
        try:
            with pytest.raises(AttributeError, match="loss_cls"):
                ssd.test_step(batch())
        finally:
            ssd.bbox_head.__class__ = own
