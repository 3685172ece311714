"""Lamb and its groups: timm's step through the host's wrapper, decay on kernels alone, one clip."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn

from frozen_det.engine.optimizers.lamb import DecayGroups, decay_split
from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.build import build_network

LAMB = dict(type="frozen_det.Lamb", lr=5e-3, weight_decay=0.02)


def wrapper_of(model, **more):
    return build_optim_wrapper(
        model, ConfigDict(type="OptimWrapper", constructor="frozen_det.DecayGroups", optimizer=LAMB, **more)
    )


def small_model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def test_of_resnet50s_tensors_107_have_no_decay_and_54_have_it():
    """Fact T12."""
    decay, plain = decay_split(build_network(dict(type="timm", name="resnet50"), 1000).module)
    assert (len(plain), len(decay)) == (107, 54)
    assert all(value.ndim == 1 for value in plain.values()) and "fc.bias" in plain and "fc.weight" in decay


def test_names_that_the_network_states_have_no_decay():
    decay, plain = decay_split(
        nn.ModuleDict({"network": build_network(dict(type="timm", name="deit_tiny_patch16_224"), 3).module})
    )
    assert {"network.pos_embed", "network.cls_token"} <= set(plain) and "network.head.weight" in decay


def test_patterns_add_to_them_and_must_fit():
    assert "3.weight" in decay_split(small_model(), ["3.*"])[1]
    with pytest.raises(InputError, match=r"'head\.\*', which fits no parameter"):
        decay_split(small_model(), ["head.*"])


def test_a_step_through_the_wrapper_is_timms():
    from timm.optim import Lamb

    ours, theirs = small_model(), small_model()
    wrapper = wrapper_of(ours)
    decay, plain = decay_split(theirs)
    reference = Lamb(
        [dict(params=list(decay.values())), dict(params=list(plain.values()), weight_decay=0.0)],
        lr=5e-3,
        weight_decay=0.02,
    )
    for step in range(3):
        images = torch.randn(6, 3, 4, 4) * 10**step  # small and large gradients: with and without the clip
        wrapper.update_params(ours(images).square().mean())
        reference.zero_grad()
        theirs(images).square().mean().backward()
        reference.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
        assert torch.equal(a, b), name


def test_a_zero_gamma_without_decay_moves_and_with_it_hardly():
    """Fact T12: in the decay group LAMB's ratio multiplies the step by the tensor's own norm, which is near zero."""
    moved = []
    for decay in (0.0, 0.02):
        gamma = nn.Parameter(torch.zeros(8))
        optimizer = wrapper_of(nn.Linear(2, 2)).optimizer
        optimizer.param_groups[:] = [dict(optimizer.param_groups[0], params=[gamma], weight_decay=decay)]
        for _ in range(200):
            gamma.grad = -torch.ones(8)
            optimizer.step()
        moved.append(gamma.mean().item())
    assert moved[0] == pytest.approx(1.0, abs=0.01) and moved[1] < 0.05


def test_gradients_are_not_clipped_twice():
    """Fact T13."""
    with pytest.raises(InputError, match="one clip of the gradients, got two"):
        wrapper_of(small_model(), clip_grad=dict(max_norm=1.0))
    own_off = ConfigDict(type="OptimWrapper", optimizer=dict(LAMB, max_grad_norm=None), clip_grad=dict(max_norm=1.0))
    DecayGroups(own_off)


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="needs torch >= 2.3: a gradient scaler for CPUs")
def test_mixed_precisions_scale_is_out_of_the_gradients_before_lamb_clips_them():
    """Fact T13: with the scale in, every gradient would be far above norm 1 and be clipped to it."""
    steps = []
    for scale in (None, 2.0**16):
        model = small_model()
        optimizer = wrapper_of(model).optimizer
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        torch.manual_seed(5)
        for _ in range(2):
            optimizer.zero_grad()
            scaler.scale(1e-3 * model(torch.randn(6, 3, 4, 4)).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        steps.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*steps, atol=1e-6)


def test_other_options_of_the_host_are_refused():
    with pytest.raises(InputError, match="only `no_decay`"):
        wrapper_of(small_model(), paramwise_cfg=dict(norm_decay_mult=0.0))
