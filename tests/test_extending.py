"""The worked examples of CONTRIBUTING.md run as they stand; a plugin brings them all, a broken one stops nobody."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from frozen_det import registry
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone

from .robustness.study_networks import Brightness, classifier, flat, images_of
from .worked_examples import worked_examples

TINY = dict(type="tiny", name="two_maps")


@pytest.fixture
def example(monkeypatch):
    """Runs one example; what it registers is gone afterwards."""
    for name in ("ADAPTERS", "BACKBONE_SOURCES", "MODELS", "STUDIES"):
        node = getattr(registry, name)
        node.import_from_location()
        monkeypatch.setattr(node, "_module_dict", dict(node.module_dict))

    def run(what: str) -> dict:
        names = {"__name__": "worked_example"}
        exec(compile(worked_examples()[what], f"CONTRIBUTING.md, {what}", "exec"), names)
        return names

    return run


def test_the_page_adds_a_source_an_adapter_a_neck_and_a_study():
    assert list(worked_examples()) == ["a backbone source", "an adapter", "a neck", "a study"]


def test_the_source_of_the_page_builds_loads_and_is_known_by_name(example):
    example("a backbone source")
    backbone = FrozenBackbone(TINY, "tiny:ones", (4, 8))
    backbone.init_weights()
    maps = backbone(torch.ones(1, 3, 32, 32))
    assert [tuple(one.shape) for one in maps] == [(1, 8, 8, 8), (1, 16, 4, 4)]
    assert maps[0].unique().tolist() == [49.0] and maps[1].unique().tolist() == [49.0 * 32 + 1]
    card = backbone.describe_weights()
    assert (card.architecture, card.licence, card.source) == ("tiny/two_maps", "Apache-2.0", "tiny:ones")


def test_messages_about_types_and_weights_name_the_source_of_the_page(example):
    example("a backbone source")
    with pytest.raises(InputError, match="expected 'timm', 'torchvision', 'tiny' or a backbone registered in mmdet"):
        FrozenBackbone(dict(type="tinny", name="two_maps"), "random", (4, 8))
    with pytest.raises(InputError, match="Known forms: .*'tiny:ones', a .pth"):
        FrozenBackbone(TINY, None, (4, 8))
    with pytest.raises(InputError, match="weights='tiny' fits a tiny backbone"):
        FrozenBackbone(dict(type="timm", name="test_resnet"), "tiny:ones", (4,)).init_weights()


def test_a_config_may_have_the_source_of_the_page(example):
    from frozen_det.config.known_keys import check_nodes

    example("a backbone source")
    check_nodes(dict(type="frozen_det.FrozenBackbone", body=TINY), "here")
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        check_nodes(dict(type="frozen_det.FrozenBackbone", body=dict(type="tinyy", name="two_maps")), "here")


def test_a_classifier_of_the_source_of_the_page_trains_and_names_its_backbone(example, tmp_path):
    from frozen_det.models.backbone_sources.build import build_network
    from frozen_det.models.backbone_sources.provenance import body_of

    example("a backbone source")
    network = build_network(TINY, 3)
    assert network.module(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert network.head_names == {"head.weight", "head.bias"}
    assert body_of(network.architecture, "a file") == TINY


def test_weights_of_the_source_of_the_page_have_no_names_in_other_libraries(example):
    from frozen_det.weights.key_maps import rename

    example("a backbone source")
    state = FrozenBackbone(TINY, "random", (4, 8)).body.state_dict()
    with pytest.raises(InputError, match="expected an architecture whose names in the layout 'timm' are known"):
        rename(state, "tiny", "timm", "tiny/two_maps")


def test_a_flag_that_is_taken_gets_the_name_of_its_study(example):
    import argparse

    from frozen_det.robustness.study import add_options, parsed_options

    example("a study")
    parser = argparse.ArgumentParser()
    parser.add_argument("--gammas", type=int)
    add_options(parser)
    args = parser.parse_args(["--gammas", "4", "--gamma-gammas", "3"])
    assert args.gammas == 4 and parsed_options(args)["gamma"].gammas == (3.0,)


def test_the_adapter_of_the_page_folds_into_its_layers(example):
    example("an adapter")
    backbone = FrozenBackbone(dict(type="timm", name="test_resnet"), "random", (4, 8), adapters=dict(type="scale"))
    for adapter in backbone.adapters.parameters():
        torch.nn.init.uniform_(adapter, 0.5, 2.0)
    backbone.eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        beside = backbone(images)
        backbone.merge()
        folded = backbone(images)
    for one, other in zip(beside, folded, strict=True):
        torch.testing.assert_close(other, one)


def test_the_neck_of_the_page_gets_its_channels_from_the_backbone(example):
    from frozen_det.models.detectors.fill_neck import fill_necks, levels_of_body

    example("a neck")
    cfg = dict(neck=dict(type="frozen_det.Lateral", out_channels=8))
    levels = fill_necks(cfg, levels_of_body((4, 8), (16, 32)))
    assert cfg["neck"]["in_channels"] == [16, 32] and (levels.strides, levels.channels) == ([4, 8], [8, 8])


def test_the_study_of_the_page_measures_and_has_its_flag(example, tmp_path):
    import argparse

    from frozen_det.robustness.study import Setting, add_options, parsed_options, studies

    example("a study")
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parsed_options(parser.parse_args(["--gammas", "1", "4"]))["gamma"]
    images = images_of(flat([0.2, 0.4, 0.6, 0.8]), [0, 0, 1, 1])
    setting = Setting(None, None, 0, tmp_path, lambda line: None)
    found = studies()["gamma"].run(classifier(Brightness()), images, options, setting)
    assert found.series["gamma"].x == [1.0, 4.0] and found.series["gamma"].y == [100.0, 50.0]
    assert found.numbers["mean over gammas"].value == 75.0


# -- plugins --------------------------------------------------------------------------------------------------------

ASKS = """
import json, sys
from frozen_det.registry import ADAPTERS, BACKBONE_SOURCES, MODELS, STUDIES
assert "their_parts" not in sys.modules
from frozen_det.models import FrozenBackbone
backbone = FrozenBackbone(dict(type="tiny", name="two_maps"), "random", (4,))
from frozen_det.robustness.study import studies
print(json.dumps([backbone.architecture, "scale" in ADAPTERS.module_dict, MODELS.get("Lateral").__module__,
                  list(studies())[-1]]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with two packages, as installers leave them: one brings all examples, one cannot be imported."""
    root = tmp_path_factory.mktemp("installed")
    (root / "their_parts.py").write_text("\n".join(worked_examples().values()))
    (root / "torn_parts.py").write_text("import no_such_module_anywhere\n")
    for name, module in (("their-package", "their_parts"), ("torn-package", "torn_parts")):
        folder = root / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[frozen_det.plugins]\n{module.split('_')[0]} = {module}\n")
    return root


def run(installed: Path, *words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(installed), str(Path(__file__).resolve().parents[1])])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=True)


def test_a_plugin_brings_a_source_an_adapter_a_neck_and_a_study_and_a_broken_one_is_one_line(installed):
    done = run(installed, "-c", ASKS)
    assert json.loads(done.stdout.splitlines()[-1]) == ["tiny/two_maps", True, "their_parts", "gamma"]
    assert [line for line in done.stderr.splitlines() if "torn" in line] == [
        "plugin 'torn' (torn_parts) of the package torn-package could not be loaded and is left out: "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'. Update or uninstall that package."
    ]


def test_commands_that_ask_no_registry_load_no_plugin(installed):
    assert "torn" not in run(installed, "-m", "frozen_det.cli", "--help").stderr
