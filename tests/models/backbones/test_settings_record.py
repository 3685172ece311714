"""What a frozen backbone's features depend on besides its state dict is recorded by name, and nothing else is."""

import re

import pytest
import torch
from torch import nn

from frozen_det.models import FrozenBackbone
from frozen_det.models.backbones.settings_record import body_record

SWIN = dict(type="timm", name="swin_tiny_patch4_window7_224", embed_dim=24, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8))


@pytest.fixture
def swin():
    return FrozenBackbone(body=dict(SWIN), weights="random", strides=(4, 8))


def test_a_changed_non_persistent_index_table_is_detected(swin):
    table = swin.body.get_submodule(
        "layers_0.blocks.0.attn" if hasattr(swin.body, "layers_0") else "layers.0.blocks.0.attn"
    ).relative_position_index
    assert "relative_position_index" not in str(swin.frozen_tensors().keys())
    assert swin.changed_since_built() is None
    table[0, 0] += 1
    assert "relative_position_index, which is not in the state dict, has other values" in swin.changed_since_built()


def test_images_of_several_sizes_change_nothing(swin):
    swin.eval()
    for size_hw in ((224, 224), (96, 128), (128, 96), (96, 128)):
        swin(torch.zeros(1, 3, *size_hw))
        assert swin.changed_since_built() is None


def test_training_mode_and_trainable_parts_are_ignored():
    backbone = FrozenBackbone(
        body=dict(type="frozen_det.CifarResNet", depth=8), weights="random", strides=(4,), freeze=["conv1.*", "bn1.*"]
    )
    backbone.train()
    backbone.body.layer1[0].bn1.eps = 0.5
    assert backbone.changed_since_built() is None
    backbone.body.bn1.eps = 0.5
    assert backbone.changed_since_built() == "bn1.eps was 1e-05, is 0.5"
    backbone.unfreeze()
    assert backbone.changed_since_built() is None


def test_a_table_of_another_shape_belongs_to_another_image_size():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.zeros(2, 2), persistent=False)
            self.positions = torch.ones(3)

    module = Table()
    before = body_record(module)
    module.mask = torch.ones(3, 3)
    assert before.changed(body_record(module)) is None
    module.positions = torch.zeros(3)
    assert (
        before.changed(body_record(module)) == "the table positions, which is not in the state dict, has other values"
    )


def test_a_copy_is_as_it_was_built(swin):
    import copy

    assert copy.deepcopy(swin).changed_since_built() is None


@pytest.mark.parametrize(
    ("which", "words"),
    [("body", "forward was replaced by .*doubled"), ("backbone", r"backbone.forward was replaced by .*doubled")],
)
def test_a_forward_that_was_replaced_from_outside_is_named(which, words):
    backbone = FrozenBackbone(body=dict(type="frozen_det.CifarResNet", depth=8), weights="random", strides=(4,))
    module = backbone if which == "backbone" else backbone.body
    plain = module.forward

    def doubled(images):
        return [2 * feature for feature in plain(images)]

    module.forward = doubled
    assert re.fullmatch(words, backbone.changed_since_built())


def test_a_hook_on_the_backbone_itself_is_named():
    backbone = FrozenBackbone(body=dict(type="frozen_det.CifarResNet", depth=8), weights="random", strides=(4,))
    backbone.register_forward_hook(lambda module, args, output: None)
    assert len(backbone.hooks_since_built()) == 1 and backbone.hooks_since_built()[0].endswith(" on the backbone")
