"""Weights that cannot be right: refused by the strict load with the kind, the count and the first names."""

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.weights.loading import load_strictly
from tests.small_nets import Net, assert_equal, state_of

CONV, VAR, GAMMA = "stages.0.0.weight", "stages.0.1.running_var", "stages.0.1.weight"


def sparse(value):
    return value.to_sparse()


def quantised(value):
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


def nested(value):
    return torch.nested.nested_tensor(list(value))


def spoiled(index, number):
    def spoil(value):
        value = value.clone()
        value.view(-1)[index] = number
        return value

    return spoil


BAD = [
    (CONV, spoiled(0, float("nan")), "NaN or infinite values in 1 of 8 tensors"),
    (GAMMA, spoiled(-1, float("-inf")), "NaN or infinite values"),
    (VAR, spoiled(2, -1e-3), "negative variances in 1 of 8 tensors: " + VAR),
    (CONV, torch.zeros_like, "nothing but zeros in 1 of 8 tensors: " + CONV),
    (CONV, lambda v: (v * 100).to(torch.int8), "whole numbers where fractions belong"),
    (CONV, lambda v: v > 0, "whole numbers where fractions belong"),
    (CONV, lambda v: v.to(torch.complex64), "1 complex of 9 tensors"),
    (CONV, lambda v: v.to("meta"), "1 meta of 9 tensors"),
    (CONV, sparse, "1 sparse of 9 tensors"),
    (CONV, quantised, "1 quantised of 9 tensors"),
    (CONV, nested, "1 nested of 9 tensors"),
    (CONV, lambda v: v.to(torch.float8_e4m3fn), "1 8-bit or smaller float of 9 tensors"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "change", "message"), BAD)
def test_weights_that_cannot_be_right_are_one_line_and_change_nothing(name, change, message):
    state = state_of(Net())
    state[name] = change(state[name])
    target = Net()
    before = state_of(target)
    with pytest.raises(InputError) as raised:
        load_strictly(target, state, "file.pth")
    assert message in str(raised.value) and name in str(raised.value) and "\n" not in str(raised.value)
    assert_equal(target, before)


def test_a_file_of_zeros_is_refused():
    with pytest.raises(InputError, match="nothing but zeros in 2 of 8 tensors: stem.weight, stages.0.0.weight"):
        load_strictly(Net(), {k: torch.zeros_like(v) for k, v in state_of(Net()).items()}, "file")


def test_variances_that_are_all_zero_are_refused_and_one_is_not():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.BatchNorm2d(4))
    state = state_of(net)
    state["1.running_var"].zero_()
    load_strictly(net, state, "file")
    state["2.running_var"].zero_()
    with pytest.raises(InputError, match="nothing but zeros in 2 of 10 tensors: 1.running_var, 2.running_var"):
        load_strictly(net, state, "file")


def test_zeros_that_are_ordinary_pass():
    state = state_of(Net())
    for name in ("stem.bias", "stages.0.1.weight", "stages.0.1.bias", "stages.0.1.running_mean"):
        state[name].zero_()
    state[CONV][0] = 0  # a filter that died
    state[VAR][1] = 0
    target = Net()
    load_strictly(target, state, "file")
    assert_equal(target, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_of_a_file_become_the_backbones(dtype):
    state = {k: v.to(dtype) for k, v in state_of(Net()).items()}  # the step count of the norm too
    target = Net()
    load_strictly(target, state, "file")
    assert target.stem.weight.dtype == torch.float32
    assert torch.equal(target.stem.weight, state["stem.weight"].float())
