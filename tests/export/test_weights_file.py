"""Weights files: from a classifier to a detector and back with the same bits; anything wrong keeps no file."""

import json

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from frozen_det.errors import InputError
from frozen_det.export import export_backbone
from frozen_det.models import FrozenBackbone
from frozen_det.weights.card import KEY, WeightsCard, read_card
from frozen_det.weights.digest import fingerprint

from .small_backbones import BACKBONES, classifier, filled


@pytest.mark.parametrize("family", BACKBONES)
def test_classifier_to_detector_to_classifier_keeps_every_bit(family, tmp_path):
    body, strides = BACKBONES[family]
    upstream = classifier(family)
    torch.save({"state_dict": upstream.state_dict()}, tmp_path / "upstream.pth")
    first = FrozenBackbone(body, weights=str(tmp_path / "upstream.pth"), strides=strides).eval()
    first.init_weights()
    images = torch.randn(2, 3, 64, 96)
    wanted = features_of(upstream, images, strides)
    assert_equal(first(images), wanted)
    export_backbone(first, tmp_path / "out.safetensors")
    # Into another detector, and into the library's own classifier.
    second = FrozenBackbone(body, weights=str(tmp_path / "out.safetensors"), strides=strides).eval()
    second.init_weights()
    assert_equal(second(images), wanted)
    again = classifier(family, seed=1)
    lacking = again.load_state_dict(load_file(tmp_path / "out.safetensors"), strict=False)
    assert lacking.unexpected_keys == []
    assert_equal(features_of(again, images, strides), wanted)


def features_of(model, images, strides):
    with torch.no_grad():
        every = model.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW")
    return [[f for f in every if images.shape[2] // f.shape[2] == stride][-1] for stride in strides]


def assert_equal(got, wanted):
    assert len(got) == len(wanted) > 0
    assert all(torch.equal(a, b) for a, b in zip(got, wanted))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_file_holds_the_librarys_names_and_a_card_that_says_what_it_is(tmp_path, suffix):
    backbone = filled("resnet", tmp_path)
    card = export_backbone(backbone, tmp_path / f"out{suffix}", WeightsCard(recipe="mine"))
    assert read_card(tmp_path / f"out{suffix}") == card
    assert card.architecture == "timm/resnet10t" and card.library_version == f"timm {timm.__version__}"
    assert card.strides == (4, 8, 16, 32) and card.channels == (64, 128, 256, 512)
    assert card.mean == (123.675, 116.28, 103.53) and card.channel_order == "rgb" and card.recipe == "mine"
    assert card.source == "upstream.pth", "where the weights came from, without the folders of this machine"
    assert card.parent_digest == fingerprint(classifier("resnet").state_dict()).digest
    assert card.digest == backbone.frozen_fingerprint().digest
    if suffix == ".safetensors":
        with safe_open(str(tmp_path / "out.safetensors"), framework="pt") as file:
            assert set(file.keys()) == set(backbone.body.state_dict())
            assert file.metadata()["format"] == "pt"
    else:
        assert set(torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]) == set(backbone.body.state_dict())


def test_timm_itself_builds_a_feature_extractor_from_the_file(tmp_path):
    backbone = filled("resnet", tmp_path)
    export_backbone(backbone, tmp_path / "out.safetensors")
    model = timm.create_model(
        "resnet10t",
        pretrained=True,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        pretrained_cfg_overlay=dict(file=str(tmp_path / "out.safetensors")),
    ).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_equal(model(images), backbone(images))


@pytest.mark.parametrize("layout", ["torchvision", "mmdet", "mmpretrain"])
def test_a_layout_is_run_in_its_library_and_read_back_by_the_loader(tmp_path, layout):
    body = dict(type="timm", name="resnet18")
    backbone = FrozenBackbone(body, weights="random").eval()
    export_backbone(backbone, tmp_path / "out.pth", layout=layout)
    again = FrozenBackbone(body, weights=str(tmp_path / "out.pth"))
    again.init_weights()
    assert backbone.frozen_fingerprint().digest == again.frozen_fingerprint().digest
    if layout == "mmdet":
        from mmdet.models.backbones import ResNet
        from mmengine.runner import load_checkpoint

        stock = ResNet(18)
        load_checkpoint(stock, str(tmp_path / "out.pth"), map_location="cpu", strict=True)
        assert torch.equal(stock.layer4[1].conv2.weight, backbone.body.layer4[1].conv2.weight)


def test_a_layout_whose_library_computes_something_else_is_refused_and_leaves_no_file(tmp_path):
    backbone = FrozenBackbone(dict(type="timm", name="tf_efficientnet_b0"), weights="random", strides=(4, 8, 16)).eval()
    with pytest.raises(InputError, match=r"torchvision's efficientnet_b0 takes these weights but gives other features"):
        export_backbone(backbone, tmp_path / "out.safetensors", layout="torchvision")
    assert list(tmp_path.iterdir()) == []


def test_folded_norms_give_the_same_features_under_the_same_names(tmp_path):
    backbone = filled("resnet", tmp_path)
    for norm in (m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)  # untrained, a branch's last norm would fold into zeros
    export_backbone(backbone, tmp_path / "folded.safetensors", fold_norms=True)
    folded = FrozenBackbone(BACKBONES["resnet"][0], weights=str(tmp_path / "folded.safetensors")).eval()
    folded.init_weights()
    state = folded.body.state_dict()
    assert torch.equal(state["layer1.0.bn1.running_mean"], torch.zeros(64))
    assert torch.equal(state["layer1.0.bn1.weight"], torch.ones(64))
    images = torch.randn(1, 3, 64, 64)
    for a, b in zip(folded(images), backbone(images)):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_adapters_are_merged_into_a_copy_or_refused(tmp_path):
    body = BACKBONES["resnet"][0]
    backbone = FrozenBackbone(body, weights="random", adapters=dict(type="parallel", init="normal")).eval()
    images = torch.randn(1, 3, 64, 64)
    wanted, before = backbone(images), backbone.frozen_fingerprint()
    export_backbone(backbone, tmp_path / "merged.safetensors")
    assert before.first_difference(backbone.frozen_fingerprint()) is None and not backbone.adapters.merged
    plain = FrozenBackbone(body, weights=str(tmp_path / "merged.safetensors")).eval()
    plain.init_weights()
    for a, b in zip(plain(images), wanted):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()
    bent = FrozenBackbone(body, weights="random", adapters=dict(type="conv_adapter")).eval()
    with pytest.raises(InputError, match="it contains an activation"):
        export_backbone(bent, tmp_path / "bent.safetensors")
    assert not (tmp_path / "bent.safetensors").exists()


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_a_backbone_that_nothing_was_loaded_into_is_refused(tmp_path):
    backbone = FrozenBackbone(BACKBONES["resnet"][0], weights=str(tmp_path / "later.pth"))
    with pytest.raises(InputError, match="nothing was loaded into timm/resnet10t"):
        export_backbone(backbone, tmp_path / "out.safetensors")


@pytest.mark.parametrize("name", ["out", "out.bin", "out.onnx"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"ends in \.safetensors or \.pth"):
        export_backbone(FrozenBackbone(BACKBONES["resnet"][0], weights="random"), tmp_path / name)


def test_a_failing_check_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    from frozen_det.export import weights_file

    (tmp_path / "out.safetensors").write_bytes(b"old")
    backbone = FrozenBackbone(BACKBONES["resnet"][0], weights="random")
    write = weights_file._write

    def broken(path, tensors, card):  # a disk that changes one number
        tensors["conv1.0.weight"][0, 0, 0, 0] += 1
        write(path, tensors, card)

    monkeypatch.setattr(weights_file, "_write", broken)
    with pytest.raises(InputError, match=r"differs from what was written, first in conv1\.0\.weight; it was not kept"):
        export_backbone(backbone, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["out.safetensors"]
    assert (tmp_path / "out.safetensors").read_bytes() == b"old"


def rewritten(source, target, change_tensors=None, change_card=None):
    """A copy of a safetensors file with other tensors, or another card."""
    tensors = load_file(source)
    with safe_open(str(source), framework="pt") as file:
        meta = file.metadata()
    if change_tensors:
        change_tensors(tensors)
    if change_card:
        card = json.loads(meta[KEY])
        change_card(card)
        meta[KEY] = json.dumps(card)
    save_file(tensors, target, metadata=meta)


def load_into(body, path):
    backbone = FrozenBackbone(body, weights=str(path))
    before = backbone.frozen_fingerprint()
    try:
        backbone.init_weights()
    finally:
        assert backbone.source is not None or before.first_difference(backbone.frozen_fingerprint()) is None
    return backbone


def test_a_card_that_lies_about_its_hash_is_refused_in_both_kinds_of_file(tmp_path):
    body = BACKBONES["resnet"][0]
    backbone = FrozenBackbone(body, weights="random").eval()
    export_backbone(backbone, tmp_path / "a.safetensors")
    export_backbone(backbone, tmp_path / "a.pth")
    rewritten(tmp_path / "a.safetensors", tmp_path / "b.safetensors", lambda t: t["layer1.0.bn1.bias"].add_(1e-6))
    with pytest.raises(InputError, match=r"card in .*b\.safetensors states sha256 \w{12}, but the tensors .* have"):
        load_into(body, tmp_path / "b.safetensors")
    file = torch.load(tmp_path / "a.pth", weights_only=True)
    file["state_dict"]["layer1.0.bn1.bias"].add_(1e-6)
    torch.save(file, tmp_path / "b.pth")
    with pytest.raises(InputError, match="Nothing was loaded"):
        load_into(body, tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(colour="red"), r"unknown fields \['colour'\]"),
        (lambda card: card.update(architecture="timm/resnetblur18"), None),
    ],
)
def test_a_card_with_unknown_fields_is_refused(tmp_path, change, message):
    body = dict(type="timm", name="resnet18")
    export_backbone(FrozenBackbone(body, weights="random"), tmp_path / "a.safetensors")
    rewritten(tmp_path / "a.safetensors", tmp_path / "b.safetensors", change_card=change)
    with pytest.raises(InputError, match=message or r"weights of timm/resnetblur18, by its card, .*MaxPool2d"):
        load_into(body, tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            dict(type="timm", name="resnet14t"),
            r"weights of timm/resnet10t, by its card, and the body is timm/resnet14t",
        ),
        (dict(type="timm", name="resnet10t", stem_width=24), "of another shape"),
    ],
)
def test_weights_of_another_depth_or_width_are_refused_and_change_nothing(tmp_path, other, message):
    export_backbone(FrozenBackbone(BACKBONES["resnet"][0], weights="random"), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=message):
        load_into(other, tmp_path / "a.safetensors")


def test_half_a_file_is_refused_and_changes_nothing(tmp_path):
    export_backbone(FrozenBackbone(BACKBONES["resnet"][0], weights="random"), tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    save_file(dict(list(tensors.items())[::2]), tmp_path / "half.safetensors")
    with pytest.raises(InputError, match="tensors missing"):
        load_into(BACKBONES["resnet"][0], tmp_path / "half.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="broken or incomplete"):
        load_into(BACKBONES["resnet"][0], tmp_path / "cut.safetensors")
