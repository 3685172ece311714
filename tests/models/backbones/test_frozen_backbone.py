"""FrozenBackbone: frozen from construction on, loaded completely or not at all, not changed by mmengine."""

import copy

import pytest
import timm
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbones.freezing import frozen_part

TIMM = dict(type="timm", name="resnet10t")
BODIES = {
    "timm": TIMM,
    "torchvision": dict(type="torchvision", name="resnet18"),
    "mmdet": dict(type="mmdet.ResNet", depth=18),
    "mmdet without frozen_stages": dict(type="mmdet.PyramidVisionTransformerV2", embed_dims=8, num_layers=[1, 1, 1, 1]),
    "channels last": dict(
        type="timm", name="swin_tiny_patch4_window7_224", embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)
    ),
    "drop path": dict(type="timm", name="convnext_atto", drop_path_rate=0.5),
}


@pytest.fixture(params=BODIES, ids=lambda name: name.replace(" ", "-"))
def backbone(request):
    return FrozenBackbone(BODIES[request.param], weights="random")


def test_nothing_has_a_gradient_right_after_construction(backbone):
    assert [n for n, p in backbone.named_parameters() if p.requires_grad] == []


def test_train_keeps_every_wrapped_module_in_eval(backbone):
    backbone.train()
    assert backbone.training
    assert [n for n, m in backbone.body.named_modules() if m.training] == []


def test_two_training_forwards_give_equal_bits_and_move_no_statistics(backbone):
    before = backbone.frozen_fingerprint()
    backbone.train()
    images = torch.rand(2, 3, 64, 96)
    first, second = backbone(images), backbone(images)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert before.first_difference(backbone.frozen_fingerprint()) is None


def test_features_have_the_stated_strides_channels_and_no_history(backbone):
    features = backbone(torch.rand(1, 3, 64, 96))
    for feature, stride, channels in zip(features, (4, 8, 16, 32), backbone.channels, strict=True):
        assert feature.shape == (1, channels, 64 // stride, 96 // stride)
        assert not feature.requires_grad


def test_keys_are_the_librarys_with_the_prefix_body():
    own = set(timm.create_model("resnet10t", num_classes=0).state_dict())
    assert {f"body.{k}" for k in own} == set(FrozenBackbone(TIMM, weights="random").state_dict())


@pytest.mark.parametrize("method", ["init_weights", "parent"])
def test_init_weights_does_not_change_a_loaded_backbone(method):
    from mmengine.model import BaseModule

    class Parent(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = FrozenBackbone(TIMM, weights="random")

    parent = Parent()
    before = parent.backbone.frozen_fingerprint()
    (parent if method == "parent" else parent.backbone).init_weights()
    assert before.first_difference(parent.backbone.frozen_fingerprint()) is None


def test_frozen_but_not_loaded_is_an_error_at_the_first_forward(tmp_path):
    backbone = FrozenBackbone(TIMM, weights=str(tmp_path / "later.pth"))
    with pytest.raises(InputError, match="nothing was loaded"):
        backbone(torch.rand(1, 3, 64, 64))


def test_no_weights_chosen_is_an_error_that_lists_the_forms():
    with pytest.raises(InputError, match=r"expected model.backbone.weights.*package:NAME.*random"):
        FrozenBackbone(TIMM)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("a" * 5000 + ".pth", "does not exist"),
        ("a\0b.pth", "does not exist"),
        ("package:", "expected the installed package ''"),
    ],
)
def test_a_name_that_nothing_can_have_is_one_clear_error(weights, message):
    with pytest.raises(InputError, match=message):
        FrozenBackbone(TIMM, weights).init_weights()


def test_a_file_with_a_wrong_prefix_is_mapped_and_one_with_wrong_keys_refused(tmp_path):
    source = timm.create_model("resnet10t")
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "a.pth")
    backbone = FrozenBackbone(TIMM, weights=str(tmp_path / "a.pth"))
    backbone.init_weights()
    assert torch.equal(backbone.body.conv1[0].weight, source.conv1[0].weight)
    torch.save({f"x{k}y": v for k, v in source.state_dict().items()}, tmp_path / "b.pth")
    other = FrozenBackbone(TIMM, weights=str(tmp_path / "b.pth"))
    before = other.frozen_fingerprint()
    with pytest.raises(InputError, match=r"first missing: conv1.*first unexpected: xconv1"):
        other.init_weights()
    assert before.first_difference(other.frozen_fingerprint()) is None, "a refused file must change nothing"


def test_timm_weights_come_from_a_local_file_by_overlay(tmp_path):
    source = timm.create_model("resnet10t")
    torch.save(source.state_dict(), tmp_path / "cache.pth")
    body = dict(TIMM, pretrained_cfg_overlay=dict(file=str(tmp_path / "cache.pth"), mean=(0.5, 0.5, 0.5)))
    backbone = FrozenBackbone(body, weights="timm")
    backbone.init_weights()
    assert torch.equal(backbone.body.layer4[0].conv1.weight, source.layer4[0].conv1.weight)
    assert backbone._built.preprocess.mean == (127.5, 127.5, 127.5)


def test_without_a_network_timm_weights_give_one_clear_error(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        InputError,
        match=r"timm's pretrained weights of resnet10t.* fetch model.safetensors of \S+/timm/resnet10t\S* elsewhere",
    ):
        FrozenBackbone(TIMM, weights="timm").init_weights()


def test_freeze_false_trains_everything_and_keeps_history():
    backbone = FrozenBackbone(TIMM, weights="random", freeze=False)
    assert all(p.requires_grad for p in backbone.parameters())
    assert not backbone.is_frozen
    assert backbone(torch.rand(1, 3, 64, 64))[-1].requires_grad


@pytest.mark.parametrize("count", [1, 2, 3])
def test_freezing_n_stages_covers_exactly_what_the_first_n_features_need(count):
    backbone = FrozenBackbone(TIMM, weights="random", freeze=count)
    backbone.train()
    features = backbone(torch.rand(2, 3, 64, 64))
    assert [f.requires_grad for f in features] == [i >= count for i in range(4)]
    frozen = {n for n, p in backbone.body.named_parameters() if not p.requires_grad}
    expected = {n for n, _ in backbone.body.named_parameters() if not n.startswith("layer") or int(n[5]) <= count}
    assert frozen == expected
    assert not any(m.training for m in backbone.body.get_submodule(f"layer{count}").modules())
    assert all(m.training for m in backbone.body.layer4.modules())


def test_patterns_freeze_by_name_and_an_unknown_one_names_the_closest():
    backbone = FrozenBackbone(TIMM, weights="random", freeze=["layer1", "layer2.*.conv1*"])
    frozen = {n for n, p in backbone.body.named_parameters() if not p.requires_grad}
    assert "layer1.0.conv2.weight" in frozen and "layer2.0.conv1.weight" in frozen
    assert "layer2.0.conv2.weight" not in frozen
    with pytest.raises(InputError, match=r"'layr1' in model.backbone.freeze matches no parameter.*'layer1'"):
        FrozenBackbone(TIMM, weights="random", freeze=["layr1"])


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (TIMM, 11 + 3),  # of the stem 3, of four blocks 2 each, and on three shortcuts, which are not called bn
        (dict(type="torchvision", name="mobilenet_v2"), 52),
        (dict(type="timm", name="convnext_atto"), 1 + 3 + 12),
    ],
)
def test_norms_are_frozen_by_what_they_are_and_not_by_their_names(body, count):
    backbone = FrozenBackbone(body, weights="random", freeze=["norms"]).train()
    norms = [m for m in backbone.body.modules() if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm))]
    own = {p for m in norms for p in m.parameters()}
    assert len(norms) == count and not any(m.training for m in norms)
    assert all(p.requires_grad != (p in own) for p in backbone.body.parameters())
    assert len(backbone.unfreeze(["norms"])) == len(own) and all(m.training for m in norms)


def test_a_norm_without_parameters_keeps_its_statistics():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, affine=False), nn.BatchNorm2d(1))
    part = frozen_part(net, lambda module, x: [module(x)], 1, ["norms"])
    assert part.parameters == {"2.weight", "2.bias"} and sorted(part.modules) == ["1", "2"]
    assert part.covers("1.running_mean") and not part.covers("0.weight")
    assert part.without(net, ["2"]).modules == ("1",) and part.without(net, ["norms"]).modules == ()


def test_an_unknown_model_and_an_unknown_stride_name_what_there_is():
    with pytest.raises(InputError, match="did you mean 'resnet10t'"):
        FrozenBackbone(dict(type="timm", name="resnet10tt"), weights="random")
    with pytest.raises(InputError, match=r"has strides \(16,\).*one stride"):
        FrozenBackbone(dict(type="timm", name="vit_tiny_patch16_224", depth=1), weights="random")


def test_a_partial_checkpoint_is_refused_even_by_non_strict_loading():
    from mmengine.runner.checkpoint import load_state_dict

    class Parent(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = FrozenBackbone(TIMM, weights="random")

    parent = Parent()
    half = dict(list(parent.state_dict().items())[:20])
    with pytest.raises(InputError, match="tensors missing"):
        load_state_dict(parent, half, strict=False)


def test_a_stock_checkpoint_without_body_in_its_keys_loads():
    body = dict(type="mmdet.ResNet", depth=18)
    source = FrozenBackbone(body, weights="random")
    target = FrozenBackbone(body, weights="later.pth")
    holder = nn.ModuleDict({"backbone": target})
    holder.load_state_dict({f"backbone.{k}": v for k, v in source.body.state_dict().items()})
    assert source.frozen_fingerprint().digest == target.frozen_fingerprint().digest
    assert target.source == "checkpoint"


def test_a_lean_checkpoint_attaches_its_base_and_refuses_another(tmp_path):
    from frozen_det.weights.lean import make_lean

    for name in "ab":
        torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / f"{name}.pth")

    def build(name):
        return nn.ModuleDict(
            {"backbone": FrozenBackbone(TIMM, weights=str(tmp_path / f"{name}.pth")), "neck": nn.Conv2d(3, 3, 1)}
        )

    trained = build("a")
    trained.backbone.init_weights()
    checkpoint = {"state_dict": dict(trained.state_dict())}
    make_lean(trained, checkpoint)
    assert sorted(checkpoint["state_dict"]) == ["backbone.base_digest", "neck.bias", "neck.weight"]
    again = build("a")
    again.load_state_dict(checkpoint["state_dict"], strict=True)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in trained.state_dict().items())
    with pytest.raises(InputError, match="was trained on a base with sha256"):
        build("b").load_state_dict(checkpoint["state_dict"], strict=True)
    digest = checkpoint["state_dict"]["backbone.base_digest"]
    for other in (digest.float(), digest[:5], digest[None]):
        with pytest.raises(InputError, match="expected 32 bytes as base_digest of a lean checkpoint"):
            build("a").load_state_dict({**checkpoint["state_dict"], "backbone.base_digest": other}, strict=True)


def test_a_deep_copy_runs_on_its_own_weights():
    original = FrozenBackbone(TIMM, weights="random")
    images = torch.rand(1, 3, 64, 64)
    before = original(images)[-1]
    clone = copy.deepcopy(original)
    with torch.no_grad():
        for parameter in original.body.parameters():
            parameter.zero_()
    assert torch.equal(clone(images)[-1], before)


def test_a_second_host_constructor_argument_typo_is_a_type_error():
    with pytest.raises(TypeError, match="freez"):
        FrozenBackbone(TIMM, weights="random", freez=True)
