"""Synchronised norms keep activations that are part of a norm, and frozen norms are not converted."""

import mmengine.model
import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone

EFFICIENTNET = dict(type="timm", name="tf_efficientnet_lite0")
RESNET = dict(type="timm", name="resnet10t")
IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)


def norms(module: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)}


@pytest.mark.parametrize("body", [EFFICIENTNET, RESNET], ids=["norm with activation", "plain norm"])
@pytest.mark.parametrize("freeze", [True, False, 2])
def test_features_are_the_same_bits_after_the_conversion(body, freeze):
    model = nn.Sequential(FrozenBackbone(body=body, weights="random", freeze=freeze), nn.Identity()).eval()
    with torch.no_grad():
        before = model[0](IMAGES)
        keys = list(model.state_dict())
        after = mmengine.model.convert_sync_batchnorm(model, "torch").eval()[0](IMAGES)
    assert list(model.state_dict()) == keys
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_frozen_norms_stay_and_those_that_train_are_synchronised():
    backbone = FrozenBackbone(body=EFFICIENTNET, weights="random", freeze=2)
    before = norms(backbone)
    trained = {name for name, norm in before.items() if norm.training}
    assert 0 < len(trained) < len(before)
    head = nn.BatchNorm2d(4)
    converted = mmengine.model.convert_sync_batchnorm(nn.ModuleList([backbone, head]), "torch")
    after = norms(converted[0])
    assert {name for name, norm in after.items() if isinstance(norm, nn.SyncBatchNorm)} == trained
    assert all(after[name] is before[name] for name in before if name not in trained)
    assert type(converted[1]) is nn.SyncBatchNorm
    assert all(after[name].weight is before[name].weight for name in trained)


def test_the_runner_uses_this_conversion():
    import mmengine.runner.runner as runner

    FrozenBackbone(body=RESNET, weights="random")
    assert runner.convert_sync_batchnorm is mmengine.model.convert_sync_batchnorm
    assert runner.convert_sync_batchnorm.guarded


def test_a_norm_with_an_unknown_forward_pass_is_refused_by_name():
    FrozenBackbone(body=RESNET, weights="random")

    class SquaredNorm(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).square()

    with pytest.raises(InputError, match="SquaredNorm with a forward pass of its own.*Leave `sync_bn` out"):
        mmengine.model.convert_sync_batchnorm(nn.Sequential(SquaredNorm(3)), "torch")
