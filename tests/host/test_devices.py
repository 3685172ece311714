"""What needs float64 computes it on the CPU where a device has none; the values are those of the CPU."""

import pytest
import torch
from torch import nn

from frozen_det.host.devices import float64_of
from frozen_det.models.backbones.bn_folding import folded
from frozen_det.models.backbones.inference_copy import relative_difference


class OnMps(torch.Tensor):
    """A tensor that says it is on Apple's GPU and refuses float64 as torch does there."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function == torch.Tensor.device.__get__:
            return torch.device("mps")
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if function is torch.Tensor.to and isinstance(args[1], cls):  # of the other's dtype, to its device
            return torch.Tensor.to(args[0], args[1].dtype).as_subclass(cls)
        result = super().__torch_function__(function, types, args, kwargs)
        if isinstance(result, cls) and result.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return result


def _moved(module):
    for one in module.modules():
        for table in (one._parameters, one._buffers):
            for name, value in table.items():
                if value is not None and value.is_floating_point():
                    table[name] = value.detach().as_subclass(OnMps)
    return module


def _layers():
    torch.manual_seed(3)
    layer, norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5).eval()
    for value in (norm.running_mean, norm.weight.data, norm.bias.data, norm.running_var):
        value.uniform_(0.5, 2)
    return layer, norm


def test_the_pretended_tensor_refuses_float64():
    with pytest.raises(TypeError, match="MPS"):
        torch.ones(2).as_subclass(OnMps).double()
    assert torch.ones(2).as_subclass(OnMps).device.type == "mps"


def test_a_norm_is_folded_to_the_values_of_the_cpu():
    with torch.no_grad():
        wanted, found = folded(*_layers()), folded(*map(_moved, _layers()))
    for one, other in zip(wanted, found, strict=True):
        assert isinstance(other, OnMps) and other.dtype == torch.float32
        assert torch.equal(other.as_subclass(torch.Tensor), one)


def test_features_are_compared_there_too():
    wanted, found = torch.tensor([1.0, -4.0]), torch.tensor([1.0, -3.0])
    assert relative_difference(wanted.as_subclass(OnMps), found.as_subclass(OnMps)) == 0.25


def test_elsewhere_the_tensor_stays_on_its_device():
    given = torch.zeros(2, device="meta")
    assert float64_of(given).device.type == "meta" and float64_of(given).dtype == torch.float64
