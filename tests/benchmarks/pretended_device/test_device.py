"""The pretended device is true to CUDA where that is known: what it refuses, what it takes, what waits and where."""

import copy
import inspect

import numpy as np
import pytest
import torch
from mmcv.ops import nms, roi_align
from torch import nn

from frozen_det.benchmarks.pretended_device.device import pretended_device
from frozen_det.benchmarks.pretended_device.waits import COPY, READ_BACK, Wait, counted

MIX = r"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"


@pytest.fixture
def device():
    with pretended_device():
        yield


def _values(device="cuda"):
    return torch.arange(6.0, device=device).view(2, 3)


# Expression -> read-backs and copies to the GPU on CUDA, in this order. `x` is (2, 3) on the GPU, `cpu` its twin.
WAITS = {
    "x.sum().item()": (1, 0),
    "float(x.sum())": (1, 0),
    "int(x.sum())": (1, 0),
    "bool((x > 1).any())": (1, 0),
    "x.tolist()": (1, 0),
    "x.cpu()": (1, 0),
    "x.to('cpu')": (1, 0),
    "x.cpu().numpy()": (1, 0),
    "x.to('cpu', non_blocking=True)": (0, 0),
    "x.nonzero()": (1, 0),
    "torch.where(x > 1)": (1, 0),
    "x[x > 1]": (1, 0),
    "x[(x > 1).any(1)]": (1, 0),
    "x[:, (x > 1).any(0)]": (1, 0),
    "x.masked_select(x > 1)": (1, 0),
    "x.unique()": (1, 0),
    "x.unique(dim=0)": (1, 0),
    "x.flatten().unique_consecutive()": (1, 0),
    "x.repeat_interleave((x[0] + 1).long(), dim=1)": (1, 0),
    "x.repeat_interleave((x[0] + 1).long(), dim=1, output_size=6)": (0, 0),
    "x.repeat_interleave(2)": (0, 0),
    "torch.equal(x, x + 0)": (1, 0),
    "nn.functional.one_hot(x.long())": (1, 0),
    "nn.functional.one_hot(x.long(), 6)": (0, 0),
    "x.long().flatten().bincount()": (1, 0),
    "[v for v in range(x.sum().long())]": (1, 0),
    "x.__setitem__(x > 1, 0.0)": (0, 0),
    "x.__setitem__(x > 1, torch.zeros(4, device='cuda'))": (1, 0),
    "x.masked_fill(x > 1, 0.0)": (0, 0),
    "x.topk(2)": (0, 0),
    "x[torch.tensor([0, 1], device='cuda')]": (0, 1),
    "x[x[0].long().clamp(0, 1)]": (0, 0),
    "x[torch.tensor([1, 0])]": (0, 1),
    "x[[1, 0]]": (0, 1),
    "x[1:, :2]": (0, 0),
    "cpu.to('cuda')": (0, 1),
    "cpu.to(x)": (0, 1),
    "cpu.cuda()": (0, 1),
    "cpu.to('cuda', non_blocking=True)": (0, 0),
    "x.new_tensor([1.0, 2.0])": (0, 1),
    "torch.tensor([1.0, x[0, 1]], device='cuda')": (1, 1),
    "torch.as_tensor([1.0], device='cuda')": (0, 1),
    "torch.as_tensor(x, device='cuda')": (0, 0),
    "x.new_zeros(3)": (0, 0),
    "torch.full((2,), 1.0, device=x.device)": (0, 0),
    "torch.arange(3, device=x.device)": (0, 0),
    "x.copy_(cpu)": (0, 1),
    "cpu.copy_(x)": (1, 0),
    "x.fill_(torch.tensor(2.0))": (0, 0),
    "x + torch.tensor(2.0)": (0, 0),
    "nn.utils.clip_grad_norm_([_with_gradient(x)], 1.0)": (0, 0),
    "torch.cuda.synchronize()": (1, 0),
}


def _with_gradient(x):
    parameter = nn.Parameter(x.clone())
    parameter.grad = x.clone()
    return parameter


def _names() -> dict:
    """What an expression may use."""
    return {**globals(), "x": _values(), "cpu": _values("cpu")}


@pytest.mark.parametrize("expression", WAITS)
def test_each_call_waits_as_often_as_on_cuda(expression, device):
    names = _names()
    with counted() as found:
        eval(expression, names)
    assert [len([w for w in found if w.kind == kind]) for kind in (READ_BACK, COPY)] == list(WAITS[expression])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="what a GPU says itself needs one")
def test_a_gpu_reports_as_many(recwarn):
    said = {}
    for expression in WAITS:
        if "synchronize" in expression:  # what is asked for is not reported
            continue
        names, before = _names(), len(recwarn)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            eval(expression, names)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        said[expression] = len([w for w in recwarn.list[before:] if "synchronizing" in str(w.message)])
    assert said == {expression: sum(WAITS[expression]) for expression in said}


def test_a_wait_has_kind_call_file_and_line(device):
    x = _values()
    with counted() as found:
        x.sum().item()
        line = inspect.currentframe().f_lineno - 1
    assert found == [Wait(READ_BACK, "item", "tests/benchmarks/pretended_device/test_device.py", line)]
    assert found[0].package == "tests"


def test_a_wait_inside_torch_is_its_callers(device):
    x = _values()
    with counted() as found:
        torch.allclose(x, x)
        line = inspect.currentframe().f_lineno - 1
    assert {(wait.file.rsplit("/", 1)[-1], wait.line) for wait in found} == {("test_device.py", line)}


def test_nothing_is_counted_outside_the_block_and_blocks_count_alike(device):
    x = _values()
    with counted() as outer:
        x.sum().item()
        with counted() as inner:
            x.sum().item()
    x.sum().item()
    assert len(outer) == 2 and len(inner) == 1


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("x + cpu", MIX),
        ("x * cpu", MIX),
        ("cpu + x", MIX),
        ("x.add_(cpu)", MIX),
        ("cpu.add_(x)", MIX),
        ("torch.where(x > 1, x, cpu)", MIX),
        ("cpu * x.sum()", MIX),  # a number of the GPU does not go to the CPU by itself
        ("torch.zeros(()).add_(x.sum())", MIX),
        (
            "torch.mm(x, cpu.T)",
            r"got mat2 is on cpu, different from other tensors on cuda:0 .*method wrapper_CUDA_mm\)",
        ),
        ("torch.cat([x, cpu])", r"got tensors is on cpu, different from other tensors on cuda:0 .*wrapper_CUDA_cat\)"),
        ("torch.stack([x.sum(), cpu.sum()])", "Expected all tensors to be on the same device"),
        ("nn.Linear(3, 2)(x)", "Expected all tensors to be on the same device"),
        ("x.gather(1, torch.zeros(2, 1, dtype=torch.long))", "got index is on cpu"),
        ("cpu[x[0].long().clamp(0, 1)]", "indices should be either on cpu or on the same device as the indexed tensor"),
        ("cpu[x > 1]", "indices should be either on cpu or on the same device as the indexed tensor"),
        ("x.__setitem__(x > 1, torch.zeros(4))", MIX),
        ("nn.functional.cross_entropy(x, torch.tensor([0, 1]))", "got target is on cpu"),
        ("roi_align(x[None, None], torch.zeros(1, 5), 2)", "Expected all tensors to be on the same device"),
    ],
)
def test_a_mix_of_devices_is_refused_in_torchs_words(expression, words, device):
    names = _names()
    with pytest.raises(RuntimeError, match=words):
        eval(expression, names)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("x + cpu.sum()", 15.0),
        ("cpu.sum() + x", 15.0),
        ("x.masked_fill(x > -1, cpu.max())", 5.0),
        ("torch.where(x > 9, x, cpu.max())", 5.0),
        ("x.fill_(cpu.max())", 5.0),
        ("x.add_(cpu.max())", 5.0),
        ("x[cpu[0].long().clamp(0, 1)]", 0.0),
        ("x[cpu > 4]", 5.0),
        ("x[[0, 1], [0, 1]]", 0.0),
    ],
)
def test_numbers_and_indices_of_the_cpu_are_taken(expression, value, device):
    found = eval(expression, _names())
    assert found.is_cuda and found.flatten()[0].item() == value


def test_it_says_where_it_is(device):
    x = torch.zeros(2, device="cuda")
    assert x.device == torch.device("cuda", 0) and x.is_cuda and not x.is_cpu and x.get_device() == 0
    assert x.type() == "torch.cuda.FloatTensor" and torch.zeros_like(x).is_cuda and (x + 1)[:1].is_cuda
    assert not torch.zeros_like(x, device="cpu").is_cuda and not x.new_ones(2, device="cpu").is_cuda
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1


def test_memory_of_a_gpu_is_no_array(device):
    for convert in (torch.Tensor.numpy, np.asarray, lambda x: x.numpy()):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()"):
            convert(torch.zeros(2, device="cuda"))


def test_values_in_place_and_views_are_the_same_tensors(device):
    x = _values()
    assert x.add_(1) is x and x.mul_(2) is x
    x[0, 1:] = 7
    x.unsqueeze_(0)
    assert x.shape == (1, 2, 3) and x.tolist() == [[[2.0, 7.0, 7.0], [8.0, 10.0, 12.0]]]


def test_a_copy_to_the_cpu_is_no_view(device):
    x = _values()
    x.cpu().zero_()
    assert x.sum().item() == 15.0


def test_gradients_travel_between_the_devices(device):
    weight = torch.ones(3, requires_grad=True)
    (weight.to("cuda") * _values()).sum().cpu().backward()
    assert weight.grad.tolist() == [3.0, 5.0, 7.0] and not weight.grad.is_cuda


def test_a_module_moves_in_place_and_shared_weights_stay_shared(device):
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    network = nn.Sequential(first, nn.BatchNorm1d(3), second)
    before = list(network.parameters())
    network.cuda()
    assert all(one is other and one.is_cuda for one, other in zip(before, network.parameters()))
    assert isinstance(first.weight, nn.Parameter) and first.weight is second.weight
    network.cpu()
    assert not any(one.is_cuda for one in network.parameters()) and first.weight is second.weight


def test_a_deep_copy_has_its_own_numbers_and_shares_within_itself(device):
    layer = nn.Linear(3, 3).cuda()
    twin = copy.deepcopy(nn.ModuleList([layer, layer]))
    assert twin[0].weight is twin[1].weight and twin[0].weight is not layer.weight and twin[0].weight.requires_grad
    before = layer.weight.tolist()
    with torch.no_grad():
        twin[0].weight.zero_()
    assert layer.weight.tolist() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_of_cuda_is_on(dtype, device):
    layer = nn.Linear(3, 2).cuda()
    with torch.autocast("cuda", dtype=dtype):
        assert torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == dtype
        found = layer(_values())
    assert found.dtype == dtype and found.is_cuda
    found.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32 and not torch.is_autocast_enabled("cuda")


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_a_step_of_training_is_the_cpus_bit_by_bit_and_waits_for_nothing(kind, device):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    ours = copy.deepcopy(plain).cuda()
    images, labels = torch.randn(4, 3, 5, 5), torch.tensor([0, 1, 0, 1])
    steps = {}
    for network, x, y in ((plain, images, labels), (ours, images.cuda(), labels.cuda())):
        optimizer = kind(network.parameters(), lr=0.1)
        with counted() as found:
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x), y).backward()
                optimizer.step()
        steps[network] = found
    assert steps[ours] == []
    assert all(torch.equal(value, ours.state_dict()[name].cpu()) for name, value in plain.state_dict().items())


class _Doubled(torch.autograd.Function):
    """Makes tensors on both devices inside its backward pass."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        assert not torch.zeros(2).is_cuda
        return gradient * torch.full((), 2.0, device=gradient.device)


def test_functions_of_a_program_run_inside_backward_as_outside(device):
    x = _values().requires_grad_()
    _Doubled.apply(x).sum().backward()
    assert x.grad.is_cuda and x.grad.unique().tolist() == [2.0]


def test_stand_ins_count_what_the_compiled_operator_waits_for(device):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 9, 9], [20, 20, 30, 30]], device="cuda")
    with counted() as found:
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device="cuda"), 0.5)[1]
    assert [(w.kind, w.what, w.package) for w in found if w.kind == READ_BACK] == [(READ_BACK, "nms", "mmcv")]
    assert kept.tolist() == [0, 2]
    maps, rois = torch.rand(1, 2, 8, 8), torch.tensor([[0.0, 1, 1, 6, 6]])
    with counted() as found:
        pooled = roi_align(maps.cuda(), rois.cuda(), 3)
    assert len(found) == 2 and {w.what for w in found} == {"cuda"}
    assert torch.equal(pooled.cpu(), roi_align(maps, rois, 3))


def test_after_the_block_there_is_no_gpu_again():
    with pretended_device():
        x = torch.ones(2, device="cuda")
    assert torch.cuda.is_available() is False or torch.cuda.device_count() > 0
    assert (x + 1).is_cuda and "pretended" in repr(x)
