"""Compiled operators that read memory from a tensor's first address on give what the tensors' values give."""

import importlib.util
import inspect

import pytest
import torch

from frozen_det.host import mmcv_ops
from frozen_det.host.mmcv_ops.compiled import as_kernels_read

from .as_compiled import read_raw_memory

pytestmark = pytest.mark.skipif(not mmcv_ops.in_use(), reason="mmcv has its compiled ops here")


@pytest.fixture
def compiled(monkeypatch):
    """Called, it makes mmcv's operators read memory as compiled ones do, with the guard before them or without."""
    return lambda guarded=True: read_raw_memory(monkeypatch, guarded)


def _map(channels=4, seed=0):
    return torch.randn(2, channels, 6, 7, generator=torch.Generator().manual_seed(seed))


ROIS = torch.tensor([[1, 3.0, 4, 20, 22], [0, 1, 2, 12.5, 20], [1, 8, 8, 26, 20]])
LABELS = torch.tensor([1, 0, 2, 2])
BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 11], [30, 30, 40, 44], [0, 0, 9, 10]])


def _calls():
    """Per name: the floating inputs, and a function of them through mmcv's Python layer."""
    from mmcv import ops

    whole = torch.tensor([[6, 7]])
    return {
        "RoIAlign": ((_map(),), lambda x: ops.RoIAlign((2, 3), 0.25, 2)(x, ROIS.to(x.dtype))),
        "RoIPool": ((_map(),), lambda x: ops.RoIPool((2, 3), 0.25)(x, ROIS.to(x.dtype))),
        "PrRoIPool": ((_map(),), lambda x: ops.PrRoIPool((2, 3), 0.25)(x, ROIS)),
        "DeformRoIPool": (
            (_map(), torch.randn(3, 2, 2, 3)),
            lambda x, offset: ops.deform_roi_pool(x, ROIS.to(x.dtype), offset, (2, 3), 0.25, 2, 0.1),
        ),
        "deform_conv2d": (
            (_map(), _map(18, 1), torch.randn(5, 4, 3, 3)),
            lambda x, offset, weight: ops.deform_conv2d(x, offset, weight, 1, 1),
        ),
        "modulated_deform_conv2d": (
            (_map(), _map(18, 1), _map(9, 2), torch.randn(5, 4, 3, 3), torch.randn(5)),
            lambda x, offset, mask, weight, bias: ops.modulated_deform_conv2d(x, offset, mask, weight, bias, 1, 1),
        ),
        "ms_deform_attn": (
            (torch.randn(2, 42, 2, 4), torch.rand(2, 3, 2, 1, 4, 2), torch.rand(2, 3, 2, 1, 4)),
            lambda value, places, weights: ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction.apply(
                value, whole, torch.tensor([0]), places, weights, 64
            ),
        ),
        "carafe": (
            (_map(), torch.rand(2, 25, 12, 14)),
            lambda x, masks: ops.carafe(x, masks, 5, 1, 2),
        ),
        "sigmoid_focal_loss": (
            (torch.randn(4, 3),),
            lambda logits: ops.sigmoid_focal_loss(logits, LABELS, 2.0, 0.25, None, "none"),
        ),
        "softmax_focal_loss": (
            (torch.randn(4, 3),),
            lambda logits: ops.softmax_focal_loss(logits, LABELS, 2.0, 0.25, None, "sum"),
        ),
        "bbox_overlaps": ((BOXES,), lambda boxes: ops.bbox_overlaps(boxes, BOXES.to(boxes.dtype))),
        "nms": ((BOXES,), lambda boxes: ops.nms(boxes, torch.tensor([0.5, 0.9, 0.3, 0.8]), 0.5)[0]),
        "soft_nms": ((BOXES,), lambda boxes: ops.soft_nms(boxes, torch.tensor([0.5, 0.9, 0.3, 0.8]), 0.5)[0]),
    }


def _turned(tensor):
    """Equal values in another order in memory: channels last, or transposed."""
    back = tuple(range(tensor.ndim))[::-1]
    return tensor.permute(back).contiguous().permute(back)


def _inputs(name):
    torch.manual_seed(0)
    return _calls()[name][0]


def _results(name, turn, dtype=torch.float32):
    """The output, then the gradients of its sum by the inputs."""
    inputs = [turn(tensor).to(dtype).requires_grad_(name not in WITHOUT_GRADIENT) for tensor in _inputs(name)]
    output = _calls()[name][1](*inputs)
    if name in WITHOUT_GRADIENT:
        return [output]
    # An expanded gradient, as a sum gives it: all its values lie at one address.
    return [output, *torch.autograd.grad(output.sum(), inputs)]


# mmcv's PrRoIPool forgets, of a map that it has to reorder, that a gradient is wanted.
WITHOUT_GRADIENT = ("bbox_overlaps", "nms", "soft_nms", "PrRoIPool")
NAMES = ["RoIAlign", "RoIPool", "PrRoIPool", "DeformRoIPool", "deform_conv2d", "modulated_deform_conv2d"]
NAMES += ["ms_deform_attn", "carafe", "sigmoid_focal_loss", "softmax_focal_loss", "bbox_overlaps", "nms", "soft_nms"]


@pytest.mark.parametrize("name", NAMES)
def test_tensors_in_any_order_in_memory_give_the_values_and_gradients_of_ordered_ones(compiled, name):
    wanted = _results(name, torch.Tensor.contiguous)
    compiled()
    for found, expected in zip(_results(name, _turned), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "PrRoIPool"])  # mmcv's layer asks for float32
def test_bfloat16_is_computed_in_float32_and_comes_back_in_bfloat16(compiled, name):
    wanted = _results(name, lambda tensor: tensor.bfloat16().float())
    compiled()
    for found, expected in zip(_results(name, _turned, torch.bfloat16), wanted, strict=True):
        if name not in ("nms", "soft_nms"):
            assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected.float(), rtol=8e-3, atol=8e-3)


def test_maps_in_float16_and_regions_in_float32_keep_the_regions_coordinates(compiled):
    """mmdet's GenericRoIExtractor leaves regions as they are beside maps of 16 bits."""
    from mmcv.ops import RoIAlign

    layer, rois = RoIAlign((2, 3), 0.25, 2), ROIS + 0.0001  # a coordinate that float16 does not hold
    wanted = layer(_map().half().float(), rois).half()
    compiled()
    found = layer(_map().half(), rois)
    assert found.dtype == torch.float16 and torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["RoIAlign", "deform_conv2d", "modulated_deform_conv2d", "carafe"])
def test_the_pretended_operators_read_other_values_without_the_guard(compiled, name):
    wanted = _results(name, torch.Tensor.contiguous)[0]
    compiled(guarded=False)
    found = _calls()[name][1](*[_turned(tensor) for tensor in _inputs(name)])
    assert (found - wanted).abs().mean() > 0.5 * wanted.abs().mean()


def test_tensors_that_a_kernel_can_take_reach_it_without_a_copy():
    seen = []

    def kernel(input, output):
        seen.extend([input, output])
        output.add_(input)

    input, output, turned = torch.randn(2, 3), torch.zeros(2, 3), torch.zeros(3, 2).t()
    guarded = as_kernels_read(kernel, inspect.signature(kernel))
    guarded(input, output=output)
    assert seen[0] is input and seen[1] is output
    guarded(turned + 1, turned)
    assert seen[3] is not turned and turned.eq(1).all(), "a result is written back to where mmcv reads it"
    version = turned._version
    guarded(turned, torch.zeros(2, 3))
    assert turned._version == version, "what is read stays untouched: autograd counts writes"


def test_mmcvs_own_module_is_guarded_when_it_is_loaded(tmp_path):
    """A module file as pip installs it, found before the stand-in."""
    (tmp_path / "_ext.py").write_text("def roi_align_forward(input, rois, output, *rest):\n    output.add_(input)\n")
    spec = mmcv_ops._CompiledFinder.find_spec("mmcv._ext", [str(tmp_path)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    output = torch.zeros(3, 2).t()
    module.roi_align_forward(torch.ones(2, 3).bfloat16(), torch.zeros(1, 5), output, None, None, 1, 1, 1.0, 0, 1, True)
    assert output.eq(1).all() and module.roi_align_forward.__wrapped__ is not None
    assert not hasattr(module, "nms"), "what is not compiled stays absent"
    assert mmcv_ops._CompiledFinder.find_spec("mmcv._ext", [str(tmp_path / "none")]) is None
