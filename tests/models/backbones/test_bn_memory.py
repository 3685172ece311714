"""Frozen norms do not save their input: same output bits, same gradients, less memory; other norms are unchanged."""

import copy
import pickle

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from frozen_det.models.backbones.bn_memory import release_norm_inputs

SHAPE = (2, 6, 8, 10)
BYTES = 4 * 2 * 6 * 8 * 10


class Held:
    def __init__(self, tensor):
        self.tensor = tensor


def kept_bytes(module, inputs) -> tuple[int, torch.Tensor]:
    """Bytes of activations alive in the graph after a forward pass, and the output."""
    import weakref

    alive = weakref.WeakSet()

    def keep(tensor):
        alive.add(held := Held(tensor))
        return held

    own = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
        outputs = module(inputs)
    storages = {held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes() for held in alive}
    return sum(size for where, size in storages.items() if where not in own and size >= BYTES), outputs


def norm(kind: str = "plain") -> nn.Module:
    """A frozen norm that changes its input; 'relu' is an in-place ReLU after it, 'inside' a SiLU within it."""
    core = BatchNormAct2d(6, act_layer=nn.SiLU) if kind == "inside" else nn.BatchNorm2d(6)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in (core.weight, core.running_var):
            value.uniform_(0.5, 1.5, generator=generator)
        for value in (core.bias, core.running_mean):
            value.normal_(generator=generator)
    core.requires_grad_(False)
    return nn.Sequential(core, nn.ReLU(inplace=True)).eval() if kind == "relu" else core.eval()


def inputs(dtype=torch.float32) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()


@pytest.mark.parametrize(
    ("kind", "before", "after"), [("plain", BYTES, 0), ("relu", 2 * BYTES, BYTES), ("inside", 2 * BYTES, BYTES)]
)
def test_the_output_has_the_same_bits_and_the_input_is_no_longer_kept(kind, before, after):
    plain, released = norm(kind), norm(kind)
    assert release_norm_inputs(released) == 1
    had, wanted = kept_bytes(plain, inputs() * 1)
    has, got = kept_bytes(released, inputs() * 1)
    assert torch.equal(wanted.view(torch.int32), got.view(torch.int32))
    assert (had, has) == (before, after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", ["plain", "relu", "inside"])
def test_the_gradient_is_the_frameworks(kind, dtype):
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2}[dtype]
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)).to(dtype)
    found = []
    for released in (False, True):
        module, x = norm(kind).to(dtype), inputs(dtype)
        if released:
            release_norm_inputs(module)
        (module(x * 1) * weight).sum().backward()
        assert x.grad.dtype == dtype
        found.append(x.grad)
    assert (found[0] - found[1]).abs().max() <= tolerance * found[0].abs().max()


def test_autocast_gives_the_frameworks_dtype_and_gradient():
    found = []
    for released in (False, True):
        module, x = nn.Sequential(nn.Conv2d(6, 6, 1, bias=False).requires_grad_(False), norm()), inputs()
        torch.manual_seed(0)
        nn.init.normal_(module[0].weight)
        if released:
            release_norm_inputs(module)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = module(x)
        out.float().square().sum().backward()
        found.append((out.dtype, x.grad))
    assert found[0][0] == found[1][0] == torch.bfloat16
    assert (found[0][1] - found[1][1]).abs().max() <= 1e-2 * found[0][1].abs().max()


def test_a_norm_that_trains_keeps_what_it_needs():
    training = norm().train()
    trained = norm().requires_grad_(True)
    for module in (training, trained):
        release_norm_inputs(module)
        assert kept_bytes(module, inputs() * 1)[0] == BYTES
    trained(inputs()).square().sum().backward()
    assert trained.weight.grad.abs().min() > 0
    # The same module again, frozen: decided at every call.
    trained.requires_grad_(False)
    assert kept_bytes(trained, inputs() * 1)[0] == 0


def test_without_gradients_nothing_is_added():
    module = norm()
    release_norm_inputs(module)
    with torch.no_grad():
        assert module(inputs()).grad_fn is None
    assert module(inputs().detach()).grad_fn is None


def test_a_norm_without_weight_or_statistics_is_handled():
    bare = nn.BatchNorm2d(6, affine=False).eval()
    release_norm_inputs(bare)
    x = inputs()
    kept, out = kept_bytes(bare, x * 1)
    out.sum().backward()
    assert kept == 0
    assert torch.allclose(x.grad, torch.full(SHAPE, (1 + bare.eps) ** -0.5))
    batch = nn.BatchNorm2d(6, track_running_stats=False).eval().requires_grad_(False)
    release_norm_inputs(batch)  # it normalises by the batch: its gradient needs the input
    assert kept_bytes(batch, inputs() * 1)[0] == BYTES


def test_a_type_that_computes_more_than_a_batch_norm_is_not_touched():
    class Odd(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x) * x

    assert release_norm_inputs(nn.Sequential(Odd(6), nn.LayerNorm(4), nn.GroupNorm(2, 6))) == 0


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("kind", ["plain", "inside"])
def test_a_copy_scales_gradients_by_its_own_weights(duplicate, kind):
    module = norm(kind)
    release_norm_inputs(module)
    other = duplicate(module)
    other.weight.mul_(2), other.bias.zero_(), other.running_mean.zero_()
    reference = norm(kind)
    reference.load_state_dict(other.state_dict())
    grads = []
    for each in (other, reference):
        x = inputs()
        each(x).sum().backward()
        grads.append(x.grad)
    assert torch.allclose(grads[0], grads[1], atol=1e-6)
    assert kept_bytes(other, inputs() * 1)[0] == kept_bytes(module, inputs() * 1)[0] < 2 * BYTES


def test_after_adapters_a_resnet_saves_half_the_memory_and_gets_the_same_gradients():
    from frozen_det.models import FrozenBackbone

    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    found = []
    for release in (False, True):
        torch.manual_seed(0)
        backbone = FrozenBackbone(
            dict(type="timm", name="test_resnet", zero_init_last=False), "random", adapters=dict(type="parallel")
        ).train()
        if not release:
            for module in backbone.body.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module._forward_hooks.clear()
        kept, features = kept_bytes(_Tuple(backbone), images)
        loss = sum(feature.square().mean() for feature in features)
        loss.backward()
        found.append((kept, loss.item(), [p.grad for p in backbone.adapters.parameters()]))
    assert found[0][1] == found[1][1]
    assert found[1][0] < 0.6 * found[0][0]
    for before, after in zip(found[0][2], found[1][2], strict=True):
        assert (before - after).abs().max() <= 1e-5 * before.abs().max()


class _Tuple(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)
