"""Two-stage detectors train in bfloat16 on a CPU, with the losses of float32 beside them."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from frozen_det.benchmarks.detector_batch import synthetic_batch
from frozen_det.benchmarks.detector_check import losses_of
from frozen_det.config import load_config
from frozen_det.engine.training import training_config
from frozen_det.errors import InputError

SMOKE = {
    "Faster R-CNN": "smoke/faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy128",
    "Cascade Mask R-CNN": "smoke/cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy",
}


def _trained(name, kind, steps):
    """The loss of each step on one batch of 2 images of 96 px, and the detector after them."""
    cfg = load_config(SMOKE[name]).model
    cfg.pop("classes_from", None)
    cfg.num_classes = 3
    cfg.detector.backbone.weights = "random"
    torch.manual_seed(0)
    detector = MODELS.build(cfg)
    detector.init_weights()
    detector.train()
    optimizer = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=1e-3)
    wrapper = OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer, clip_grad=dict(max_norm=10.0)))
    batch, seen = synthetic_batch(96, 3), []
    for _ in range(steps):
        with wrapper.optim_context(detector):
            losses = losses_of(detector, batch, 0)
        loss, _ = detector.parse_losses(losses)
        wrapper.update_params(loss)
        seen.append(loss.item())
    return torch.tensor(seen), detector


@pytest.mark.parametrize("name", SMOKE)
def test_two_stage_detectors_learn_in_bfloat16_as_in_float32(name):
    exact, _ = _trained(name, "OptimWrapper", 6)
    short, detector = _trained(name, "frozen_det.AutocastOptimWrapper", 6)
    assert not torch.equal(exact, short), "bfloat16 was used"
    torch.testing.assert_close(short[0], exact[0], rtol=0.02, atol=0)
    torch.testing.assert_close(short, exact, rtol=0.1, atol=0)
    assert short[-1] < 0.95 * short[0]
    trained = [p for p in detector.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in trained), "weights stay in float32"


def test_only_the_forward_pass_is_cast_and_there_is_no_loss_scale():
    layer = nn.Linear(2, 2)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type="frozen_det.AutocastOptimWrapper", optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    )
    assert isinstance(wrapper, OptimWrapper) and not hasattr(wrapper, "loss_scaler")
    with wrapper.optim_context(layer):
        found = layer(torch.ones(1, 2))
    assert found.dtype == torch.bfloat16 and layer(torch.ones(1, 2)).dtype == torch.float32
    before = layer.bias.detach().clone()
    wrapper.update_params(found.float().sum())
    assert torch.equal(layer.bias, before - 1)


def _with_amp(monkeypatch, gpu, **options):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    return training_config(SMOKE["Faster R-CNN"], {f"optim_wrapper.{k}": v for k, v in options.items()}, amp=True)


AUTOCAST, AMP = "frozen_det.AutocastOptimWrapper", "AmpOptimWrapper"


@pytest.mark.parametrize(
    ("gpu", "options", "kind"),
    [
        (False, {}, AUTOCAST),
        (True, {}, AMP),
        (True, dict(type=AMP, dtype="bfloat16", loss_scale="dynamic"), AUTOCAST),
        (True, dict(type=AMP, dtype="float16"), AMP),
        (True, dict(type=AUTOCAST), AUTOCAST),
        (False, dict(type=AUTOCAST), AUTOCAST),
    ],
)
def test_amp_is_float16_on_a_gpu_unless_told_and_bfloat16_on_a_cpu(monkeypatch, gpu, options, kind):
    wrapper = _with_amp(monkeypatch, gpu, **options).optim_wrapper
    assert wrapper.type == kind and wrapper.get("loss_scale") == ("dynamic" if kind == AMP else None)
    assert wrapper.get("dtype") == ("float16" if "float16" in options.values() else None)


def test_float16_on_a_cpu_is_refused_in_one_line(monkeypatch):
    with pytest.raises(InputError, match="--amp on a CPU is bfloat16 alone: optim_wrapper.dtype='float16' needs a GPU"):
        _with_amp(monkeypatch, False, type=AMP, dtype="float16")
