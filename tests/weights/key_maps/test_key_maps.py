"""Key layouts: there and back bit for bit, and the same features in the other library's own model."""

import pytest
import timm
import torch
import torchvision.models as tv
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.weights.key_maps import LAYOUTS, find_family, is_derived, rename, to_timm
from frozen_det.weights.key_maps.equivalents import MMDET, TORCHVISION, equivalent
from frozen_det.weights.key_maps.families import _concatenated_order, _unfold_order
from frozen_det.weights.key_maps.templates import fill, match
from frozen_det.weights.loading import load_strictly

SWIN = dict(embed_dim=24, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 4))
VIT = dict(depth=2, embed_dim=48, num_heads=3)
# Libraries pad windows differently, so that Swin is compared at a size without padding.
OPEN = {"swin": dict(strict_img_size=False)}
CONVNEXT = dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))
# Family -> timm's name and options.
MODELS = {
    "resnet": ("resnet18", {}),
    "resnet-d": ("resnet26d", {}),
    "convnext": ("convnext_atto", CONVNEXT),
    "convnext with 1x1 convolutions": ("convnext_atto", dict(CONVNEXT, conv_mlp=True)),
    "swin": ("swin_tiny_patch4_window7_224", SWIN),
    "vit": ("vit_tiny_patch16_224", VIT),
    "vit with layer scale": ("vit_tiny_patch16_224", dict(VIT, init_values=1e-3)),
    "efficientnet": ("efficientnet_b0", {}),
}


def family_of(title: str) -> str:
    return title.split(",")[0].split(" ")[0]


@pytest.fixture(params=MODELS, scope="module")
def model(request):
    torch.manual_seed(0)
    name, options = MODELS[request.param]
    return request.param, timm.create_model(name, num_classes=0, **options).eval()


@pytest.mark.parametrize("layout", ["torchvision", "mmdet", "mmpretrain"])
def test_there_and_back_gives_the_same_bits(model, layout):
    title, net = model
    state, family = net.state_dict(), family_of(title)
    missing = {"torchvision": ["resnet-d", "vit with layer scale"], "mmdet": ["convnext", "vit"], "mmpretrain": []}
    if any(title.startswith(name) for name in missing[layout]):
        with pytest.raises(InputError, match="Export it with --layout plain"):
            rename(state, "timm", layout, title)
        return
    renamed, names = rename(state, "timm", layout, title)
    assert set(names) == {name for name in state if not is_derived(name)} and set(names.values()) == set(renamed)
    assert all(name.startswith("backbone.") for name in renamed) == (layout == "mmpretrain")
    inner = {name.removeprefix("backbone."): value for name, value in renamed.items()}
    assert find_family(inner, layout) == family
    back = to_timm(inner, family, layout)
    assert set(back) == set(names)
    assert all(torch.equal(back[name].reshape(state[name].shape), state[name]) for name in back)


def test_a_whole_torchvision_classifier_fills_timms_with_its_head():
    theirs = torchvision_models()["convnext"]
    ours = timm.create_model("convnext_atto", **CONVNEXT)
    load_strictly(ours, theirs.state_dict(), "file")
    assert torch.equal(ours.head.fc.weight, theirs.classifier[2].weight)
    assert torch.equal(ours.head.norm.bias, theirs.classifier[0].bias)


@pytest.mark.parametrize("layout", ["torchvision", "mmdet", "mmpretrain"])
def test_the_loader_reads_every_layout_into_timms_backbone(model, layout):
    title, net = model
    try:
        renamed, _ = rename(net.state_dict(), "timm", layout, title)
    except InputError:
        pytest.skip("no such names")
    name, options = MODELS[title]
    blank = timm.create_model(name, num_classes=0, **options)
    load_strictly(blank, renamed, "file")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in blank.state_dict().items())


def features(net, images):
    """timm's last feature map before any last norm, channels first."""
    with torch.no_grad():
        return net.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW")[-1]


def torchvision_models() -> dict:
    """The same small architectures, built by torchvision's own classes, up to the last feature map."""
    convnext = tv.convnext.ConvNeXt(
        [tv.convnext.CNBlockConfig(*c) for c in ((8, 16, 1), (16, 24, 1), (24, 32, 2), (32, None, 1))]
    )
    swin = tv.swin_transformer.SwinTransformer([4, 4], 24, [2, 1, 1, 1], [1, 2, 2, 4], [7, 7])
    vit = tv.vision_transformer.VisionTransformer(224, 16, 2, 3, 48, 192)
    return {
        "resnet": tv.resnet18(),
        "convnext": convnext,
        "swin": swin,
        "vit": vit,
        "efficientnet": tv.efficientnet_b0(),
    }


@pytest.mark.parametrize("family", ["resnet", "convnext", "swin", "vit", "efficientnet"])
def test_torchvisions_own_model_gives_the_same_features_from_renamed_weights(family):
    torch.manual_seed(1)
    name, options = MODELS[family]
    ours = timm.create_model(name, num_classes=0, **options, **OPEN.get(family, {})).eval()
    theirs = torchvision_models()[family].eval()
    renamed, _ = rename(ours.state_dict(), "timm", "torchvision", name)
    lacking = theirs.load_state_dict(renamed, strict=False)
    assert lacking.unexpected_keys == []
    assert all(
        is_derived(key) or key.split(".")[0] in ("fc", "head", "heads", "classifier") for key in lacking.missing_keys
    )
    images = torch.randn(1, 3, *((448, 448) if family == "swin" else (224, 224)))
    with torch.no_grad():
        if family == "resnet":
            got = torch.nn.Sequential(*list(theirs.children())[:-2])(images)
            wanted = features(ours, images)
        elif family == "vit":
            tokens = theirs._process_input(images)
            got = theirs.encoder(torch.cat([theirs.class_token, tokens], 1))
            wanted = ours.forward_features(images)
        else:
            got = theirs.features[:-1](images) if family == "efficientnet" else theirs.features(images)
            got = got.permute(0, 3, 1, 2) if family == "swin" else got
            wanted = features(ours, images)
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_mmdets_swin_gives_the_same_features_from_renamed_weights():
    from mmdet.models.backbones import SwinTransformer

    name, options = MODELS["swin"]
    ours = timm.create_model(name, num_classes=0, **options, **OPEN["swin"]).eval()
    theirs = SwinTransformer(embed_dims=24, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 4))
    theirs.eval()  # not chained: it returns None
    renamed, _ = rename(ours.state_dict(), "timm", "mmdet", name)
    lacking = theirs.load_state_dict(renamed, strict=False)
    assert lacking.unexpected_keys == []
    for level in range(4):  # mmdet's own norms of the outputs
        setattr(theirs, f"norm{level}", torch.nn.Identity())
    images = torch.randn(1, 3, 448, 448)
    with torch.no_grad():
        got = theirs(images)[-1]
    wanted = features(ours, images)
    assert (got - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_patch_merging_is_reordered_as_mmdets_converter_does():
    from mmdet.models.backbones.swin import swin_converter

    weight, norm = torch.randn(6, 12), torch.randn(12)
    key = "layers.0.downsample."
    theirs = swin_converter({f"{key}reduction.weight": weight, f"{key}norm.weight": norm})
    assert torch.equal(_unfold_order(weight), theirs["backbone.stages.0.downsample.reduction.weight"])
    assert torch.equal(_unfold_order(norm), theirs["backbone.stages.0.downsample.norm.weight"])
    assert torch.equal(_concatenated_order(_unfold_order(weight)), weight)


@pytest.mark.parametrize("arch", ["b0", "b2"])
def test_mmdets_efficientnet_has_exactly_the_renamed_names_and_shapes(arch):
    from mmdet.models.backbones import EfficientNet

    theirs = EfficientNet(arch, out_indices=(6,)).state_dict()
    state = timm.create_model(f"efficientnet_{arch}", num_classes=0).state_dict()
    renamed, _ = rename(state, "timm", "mmdet", arch)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in theirs.items()}


def test_the_authors_swin_and_convnext_files_fill_a_torchvision_backbone():
    swin = timm.create_model("swin_tiny_patch4_window7_224", **SWIN).state_dict()
    official = {}
    for name, value in swin.items():
        parts = name.split(".")
        if parts[2:3] == ["downsample"]:  # in the authors' code at the end of the stage before
            parts[1] = str(int(parts[1]) - 1)
        official[".".join(parts).replace("head.fc.", "head.")] = value
    theirs = torchvision_models()["swin"]
    report = load_strictly(
        theirs, {"model." + k: v for k, v in official.items()}, "file", architecture_keys=("head.weight", "head.bias")
    )
    assert "official names of the swin family read as torchvision's" in report.mapping
    assert torch.equal(theirs.features[2].reduction.weight, swin["layers.1.downsample.reduction.weight"])


def test_names_of_no_known_family_are_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"got mine\. Known families: resnet, convnext, swin, vit, efficientnet"):
        rename({"a.weight": torch.zeros(1)}, "timm", "torchvision", "mine")
    assert all(find_family({}, layout) is None for layout in LAYOUTS)


def test_a_part_without_a_place_in_the_other_library_is_refused():
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **dict(VIT, init_values=1e-3))
    with pytest.raises(InputError, match=r"'torchvision' has no place for blocks.0.ls1.gamma"):
        rename(net.state_dict(), "timm", "torchvision", "vit")


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(["weight", "bias"]),
    st.sampled_from(["a.{s}.{b}.{leaf}", "features.{2*s+1}.{b}.block.0.{leaf}", "layers.{s+3}.x{b}.{leaf}"]),
)
def test_a_template_gives_back_the_fields_it_was_filled_with(s, b, leaf, template):
    values = dict(s=s, b=b, leaf=leaf)
    assert match(template, fill(template, values)) == values


@pytest.mark.parametrize("name", ["features.2.0.block.0.weight", "features.1.0.block.0.gamma", "xfeatures.1.0.block.0"])
def test_a_name_of_another_form_does_not_match(name):
    assert match("features.{2*s+1}.{b}.block.0.{leaf}", name) is None


def test_equivalents_go_both_ways():
    assert equivalent("timm/resnet50.a1_in1k", "torchvision") == dict(type="torchvision", name="resnet50")
    assert equivalent("torchvision/swin_t", "timm") == dict(type="timm", name="swin_tiny_patch4_window7_224")
    assert equivalent("mmdet/mmdet.ResNet18", "torchvision") == dict(type="torchvision", name="resnet18")
    assert equivalent("timm/resnet50d", "mmdet") == dict(type="mmdet.ResNetV1d", depth=50)
    assert equivalent("timm/nfnet_f0", "torchvision") is None and equivalent("timm/swin_s", "mmdet") is None
    assert all(timm.is_model(name) for name in {*TORCHVISION, *MMDET})
    assert set(TORCHVISION.values()) <= set(tv.list_models(module=tv))
