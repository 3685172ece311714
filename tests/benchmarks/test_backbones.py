"""The sweep counts what it ran: every check of a backbone runs, and a failing family is a row, not an end."""

import argparse
import json

import pytest
import torch
from torch import nn

from frozen_det.benchmarks import backbone_candidates, backbone_check
from frozen_det.benchmarks import backbones as benchmark_backbones
from frozen_det.benchmarks.backbone_check import FAILED, NO_MAP, PASSED, TOO_LARGE, ContractViolation, check_backbone
from frozen_det.benchmarks.backbones import rate, sweep_family, table
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbone_sources.input_size import SizeRule

SMALL = dict(type="timm", name="lcnet_035")
SIZES_HW = ((64, 64), (64, 96))


def row(model, status, **further):
    return (
        dict(
            library="timm",
            family=model,
            model=model,
            status=status,
            strides=(8, 16),
            channels=(3, 4),
            millions=1.0,
            sizes="any",
            reason="",
            seconds=1.0,
        )
        | further
    )


def test_the_rate_leaves_out_what_has_no_map_and_what_is_too_large():
    rows = [row("a", PASSED), row("b", FAILED), row("c", NO_MAP), row("d", PASSED), row("e", TOO_LARGE)]
    assert rate(rows) == (2, 3)
    assert rate([]) == (0, 0) and rate([row("c", NO_MAP)]) == (0, 0)


def test_the_table_names_failures_families_without_a_map_and_those_in_windows():
    text = table(
        "timm",
        [
            row("a", PASSED),
            row("b", FAILED, reason="gives a|b"),
            row("c", NO_MAP),
            row("e", TOO_LARGE),
            row("f", PASSED, sizes="windows of 224x224"),
        ],
    )
    assert "2 of 3 passed (66.7%)" in text
    assert "left out of the count: c." in text and "Failed: b." in text and "not run: e." in text
    assert "in windows of it: f." in text
    assert "| b | b | 1.0 | 8 16 | 3 4 | any | failed: gives a\\|b | 1.0 |" in text
    assert "| e |" not in text
    assert "Nothing to count." in table("mmdet", [])


@pytest.fixture
def backbone():
    return FrozenBackbone(SMALL, weights="random", strides=(8, 32))


def test_a_sound_backbone_passes_every_check(backbone):
    check_backbone(backbone, SIZES_HW)


@pytest.mark.parametrize(
    "attribute, value, said",
    [
        ("strides", (8, 16), r"declared \d+ channels at stride 16, got the shape \(2, \d+, 2, 2\) at 64x64"),
        ("channels", (48, 7), "declared 7 channels at stride 32"),
        ("strides", (8,), "2 features for 1 strides"),
    ],
)
def test_a_wrong_declaration_is_found(backbone, attribute, value, said):
    setattr(backbone, attribute, value)
    with pytest.raises(ContractViolation, match=said):
        check_backbone(backbone, SIZES_HW)


def test_a_gradient_is_found(backbone):
    next(backbone.body.parameters()).requires_grad_(True)
    with pytest.raises(ContractViolation, match="1 parameters would get a gradient"):
        check_backbone(backbone, SIZES_HW)


def norm_in_training_mode(backbone, momentum):
    """A norm that uses batch statistics although it says that it sleeps."""
    norm = next(module for module in backbone.body.modules() if isinstance(module, nn.BatchNorm2d))
    norm.forward = lambda x: nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=True, momentum=momentum
    )


def test_statistics_of_the_batch_are_found(backbone):
    norm_in_training_mode(backbone, momentum=0.0)
    with pytest.raises(ContractViolation, match="the rest of the batch changes an image's features of stride 8"):
        check_backbone(backbone, SIZES_HW)


def test_statistics_that_move_are_found(backbone, monkeypatch):
    monkeypatch.setattr(backbone_check, "_require_independent", lambda *_: None)
    norm_in_training_mode(backbone, momentum=0.1)
    with pytest.raises(ContractViolation, match="changed .*running_mean"):
        check_backbone(backbone, SIZES_HW)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda f: f.permute(0, 2, 3, 1), "got the shape"),
        (lambda f: f * float("nan"), "not finite"),
        (lambda f: f.requires_grad_(), "autograd history"),
    ],
)
def test_channels_last_nan_and_history_are_found(backbone, monkeypatch, change, said):
    forward = backbone.forward
    monkeypatch.setattr(backbone, "forward", lambda images: tuple(change(f) for f in forward(images)))
    with pytest.raises(ContractViolation, match=said):
        check_backbone(backbone, SIZES_HW)


@pytest.mark.parametrize(
    "library, family, models", [("timm", "starnet", 1), ("torchvision", "squeezenet", 2), ("mmdet", "MobileNetV2", 1)]
)
def test_a_small_family_of_each_library_passes(library, family, models):
    rows = sweep_family(library, family, cap=60, seed=0)
    assert [r["status"] for r in rows] == [PASSED] * models, [r["reason"] for r in rows]
    assert all(r["strides"] and len(r["strides"]) == len(r["channels"]) and r["millions"] > 0.5 for r in rows)


def test_a_family_that_breaks_is_a_row_with_its_own_message(monkeypatch):
    def broken(cfg):
        raise KeyError("no such\nthing")

    monkeypatch.setattr(backbone_check, "body_strides", broken)
    (only,) = sweep_family("timm", "lcnetv2", cap=60, seed=0)
    assert only["status"] == FAILED and only["reason"] == "KeyError: 'no such\\nthing'"
    monkeypatch.setattr(backbone_check, "body_strides", lambda cfg: ())
    assert sweep_family("timm", "lcnetv2", cap=60, seed=0)[0]["status"] == NO_MAP
    monkeypatch.setattr(backbone_candidates, "bodies_of_family", lambda *_: 1 / 0)
    (only,) = sweep_family("timm", "lcnetv2", cap=60, seed=0)
    assert (only["status"], only["model"]) == (FAILED, "") and only["reason"].startswith("ZeroDivisionError")


def test_the_smallest_is_counted_and_large_models_of_torchvision_are_named_and_not_run(monkeypatch):
    sizes = {"a": 5, "b": 3, "c": 1}
    assert backbone_candidates.smallest_of(
        list("abc"), lambda name: nn.Linear(1000, 1000 * sizes[name], bias=False), num_counted=2
    ) == ("b", 3.0)
    bodies = backbone_candidates.bodies_of_family("torchvision", "vgg", cap=60)
    assert [name for name, cfg, _ in bodies if cfg] == ["vgg11"] and len(bodies) == 8
    assert {name: round(millions) for name, _, millions in bodies}["vgg16"] == 138


def test_every_library_names_its_families():
    families = {library: benchmark_backbones.families_of(library) for library in benchmark_backbones.LIBRARIES}
    assert {"beit", "resnet", "xcit"} <= set(families["timm"]) and "densenet" in families["torchvision"]
    assert {"ResNet", "HRNet", "SSDVGG"} <= set(families["mmdet"])
    assert "resnet10t" in backbone_candidates.timm_models("resnet")
    assert not any(name.startswith("test_") for name in backbone_candidates.timm_models("resnet"))


def test_rules_are_described():
    assert backbone_check.in_words(SizeRule()) == "any"
    assert backbone_check.in_words(SizeRule(multiple=256)) == "padded to multiples of 256"
    assert backbone_check.in_words(SizeRule(fill=True)) == "any, border filled"
    assert backbone_check.in_words(SizeRule(window_hw=(224, 224))) == "windows of 224x224"


def parsed(*argv):
    parser = argparse.ArgumentParser()
    benchmark_backbones.add_arguments(parser)
    return parser.parse_args(argv)


def test_the_command_prints_writes_and_reports_as_it_goes(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        benchmark_backbones, "sweep_family", lambda library, family, cap, seed: [row(family, PASSED, library=library)]
    )
    output = tmp_path / "tables.md"
    assert benchmark_backbones.run(parsed("--only", "ResNet", "vgg", "--output", str(output))) == 0
    out, err = capsys.readouterr()
    assert output.read_text() == out and out.count("1 of 1 passed (100.0%)") == 3
    assert [line.split()[1] for line in err.splitlines()] == ["timm/vgg", "torchvision/vgg", "mmdet/ResNet"]
    benchmark_backbones.run(parsed("--library", "mmdet", "--only", "ResNet", "--json"))
    assert [r["family"] for r in json.loads(capsys.readouterr().out)] == ["ResNet"]


def test_senseless_options_are_refused():
    with pytest.raises(InputError, match="'resnett'; did you mean.*'resnet'"):
        benchmark_backbones.run(parsed("--library", "timm", "--only", "resnett"))
    with pytest.raises(InputError, match="--jobs from 1 on, got 0"):
        benchmark_backbones.run(parsed("--jobs", "0"))


def test_random_weights_and_images_are_those_of_the_seed():
    torch.manual_seed(5)
    first, again = (backbone_check.check_body(SMALL, SIZES_HW, seed=3) for _ in range(2))
    assert first | dict(seconds=0) == again | dict(seconds=0) and first["status"] == PASSED
