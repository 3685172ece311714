"""A backbone in channels-last memory gives a detector's losses and gradients, also where operators read raw memory."""

import pytest
import torch

from frozen_det.benchmarks.detector_batch import synthetic_batch
from frozen_det.benchmarks.detector_check import losses_of
from frozen_det.config import load_config
from frozen_det.host import mmcv_ops

from ...host.mmcv_ops.as_compiled import read_raw_memory

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")

SMOKE = {
    "FPN": "smoke/faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy",
    "FPN, mmdet's heads": "smoke/faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy128",
    "ConvNeck": "smoke/faster-rcnn_frozen-efficientnetlite0_convneck1_plain-8e_toy",
    "NASFPN": "smoke/cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy",
}


def _losses_and_gradients(name, memory_format=None):
    from mmdet.registry import MODELS

    cfg = load_config(SMOKE[name]).model
    cfg.pop("classes_from", None)
    cfg.num_classes = 3
    cfg.detector.backbone.update(weights="random", forward=dict(memory_format=memory_format))
    torch.manual_seed(0)
    detector = MODELS.build(cfg)
    detector.init_weights()
    detector.eval()  # norms in training mode follow the batch, whose sums depend on the order in memory
    detector.backbone.train(False)
    losses = losses_of(detector, synthetic_batch(128, 3), 0)
    total, _ = detector.parse_losses(losses)
    total.backward()
    gradients = {key: p.grad for key, p in detector.named_parameters() if p.grad is not None}
    return {key: torch.as_tensor(value).detach().sum() for key, value in losses.items()}, gradients


def _largest(gradients):
    return max(float(value.abs().max()) for value in gradients.values())


@pytest.mark.parametrize("name", SMOKE)
def test_losses_and_gradients_do_not_depend_on_the_order_in_memory(name, monkeypatch):
    wanted, gradients = _losses_and_gradients(name)
    read_raw_memory(monkeypatch, guarded=True)
    found, turned = _losses_and_gradients(name, "channels_last")
    assert found.keys() == wanted.keys() and turned.keys() == gradients.keys()
    for key in wanted:
        torch.testing.assert_close(found[key], wanted[key], rtol=1e-4, atol=1e-5, msg=key)
    apart = max(float((turned[key] - gradients[key]).abs().max()) for key in gradients)
    assert apart <= 1e-4 * _largest(gradients)
