"""convert: lean to full and back with every number kept; code in a pickle runs only when the user says so."""

import copy
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from frozen_det.cli import main
from frozen_det.models import FrozenBackbone
from frozen_det.weights.lean import make_lean
from frozen_det.weights.loading import read

BODY = dict(type="timm", name="resnet10t")


class Detector(nn.Module):
    """A backbone and one layer behind it."""

    def __init__(self, weights, **options):
        super().__init__()
        self.backbone = FrozenBackbone(BODY, weights=weights, **options)
        self.head = nn.Linear(4, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with base weights, a config, and the same training state as a full and as a lean checkpoint."""
    import timm

    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t").state_dict(), folder / "base.pth")
    weights = str(folder / "base.pth")
    (folder / "config.py").write_text(
        f"model = dict(backbone=dict(type='frozen_det.FrozenBackbone', body={BODY}, weights={weights!r}))"
    )
    model = Detector(weights)
    model.backbone.init_weights()
    full = {
        "state_dict": model.state_dict(),
        "meta": {"epoch": 3, "mmengine_version": "0.10", "dataset_meta": {"classes": ["a", "b"]}},
        "optimizer": {"state": {0: {"exp_avg": torch.randn(3)}}, "param_groups": [{"lr": 0.1}]},
        "ema_state_dict": {"steps": torch.tensor(7), **{f"module.{k}": v for k, v in model.state_dict().items()}},
    }
    torch.save(full, folder / "full.pth")
    lean = {
        **full,
        "state_dict": OrderedDict(full["state_dict"]),
        "meta": dict(full["meta"]),
        "ema_state_dict": dict(full["ema_state_dict"]),
    }
    lean["meta"]["lean"] = {"version": 1, "modules": make_lean(model, lean)}
    torch.save(lean, folder / "lean.pth")
    return folder


def equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and set(a) == set(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def convert(source, target, *more) -> int:
    return main(["convert", str(source), "-o", str(target), *map(str, more)])


@pytest.mark.parametrize(("source", "target"), [("lean", "full"), ("full", "lean")])
def test_each_form_becomes_exactly_the_other(run, tmp_path, source, target, capsys):
    assert convert(run / f"{source}.pth", tmp_path / "out.pth", "--config", run / "config.py") == 0
    assert f"{target} checkpoint" in capsys.readouterr().out
    assert equal(read(tmp_path / "out.pth"), read(run / f"{target}.pth"))
    assert (run / "lean.pth").stat().st_size < 0.1 * (run / "full.pth").stat().st_size


def test_the_full_form_loads_into_a_plain_model_without_frozen_det(run, tmp_path):
    import timm

    convert(run / "lean.pth", tmp_path / "out.pth", "--config", run / "config.py")
    state = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    body = timm.create_model("resnet10t", num_classes=0)
    body.load_state_dict({k.removeprefix("backbone.body."): v for k, v in state.items() if "backbone.body." in k})


def test_a_lean_file_over_another_base_is_refused(run, tmp_path, capsys):
    base = torch.load(run / "base.pth", weights_only=True)
    base["layer1.0.bn1.bias"][0] += 1e-6
    torch.save(base, tmp_path / "base.pth")
    config = (run / "config.py").read_text().replace(str(run / "base.pth"), str(tmp_path / "base.pth"))
    (tmp_path / "config.py").write_text(config)
    assert convert(run / "lean.pth", tmp_path / "out.pth", "--config", tmp_path / "config.py") == 2
    assert "this lean checkpoint was trained on a base with sha256" in capsys.readouterr().err
    # The other way round, leaving those weights out would lose them.
    assert convert(run / "full.pth", tmp_path / "out.pth", "--config", tmp_path / "config.py") == 2
    assert "first in layer1.0.bn1.bias: leaving them out would lose them" in capsys.readouterr().err
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "expected --config"),
        (("--config", "CONFIG", "--to", "lean"), "it is lean already"),
        (("--config", "no/such/config"), "there is no 'no/such/config'"),
    ],
)
def test_bad_arguments_are_one_line_and_code_two(run, tmp_path, capsys, more, message):
    more = [run / "config.py" if item == "CONFIG" else item for item in more]
    assert convert(run / "lean.pth", tmp_path / "out.pth", *more) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_an_unfrozen_backbone_has_no_lean_form(run, tmp_path, capsys):
    config = (run / "config.py").read_text().replace("weights=", "freeze=False, weights=")
    (tmp_path / "config.py").write_text(config)
    assert convert(run / "full.pth", tmp_path / "out.pth", "--config", tmp_path / "config.py") == 2
    assert "nothing can be left out" in capsys.readouterr().err


# ---- --trust -------------------------------------------------------------------------------------------------------


class Touches:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture
def needs_code(tmp_path):
    """A checkpoint whose reading runs code, and the file that the code leaves."""
    weights = {"conv.weight": torch.randn(2, 3), "conv.bias": torch.randn(2)}
    torch.save({"model": weights, "extra": Touches(tmp_path / "ran")}, tmp_path / "bad.pth")
    return tmp_path / "bad.pth", tmp_path / "ran", weights


def test_without_trust_nothing_runs_and_with_it_only_tensors_are_kept(needs_code, tmp_path, capsys):
    path, ran, weights = needs_code
    assert convert(path, tmp_path / "out.pth", "--config", "quickstart") == 2
    assert f"frozen-det convert --trust {path} -o bad.safetensors" in capsys.readouterr().err and not ran.exists()
    assert convert(path, tmp_path / "out.safetensors", "--trust") == 0
    assert ran.exists(), "the code of the file did run, as was asked"
    assert equal(read(tmp_path / "out.safetensors")["state_dict"], weights)


def test_the_code_runs_in_another_process(tmp_path):
    torch.save({"model": {"w": torch.ones(1)}, "x": Exits()}, tmp_path / "bad.pth")
    assert convert(tmp_path / "bad.pth", tmp_path / "out.pth", "--trust") == 2, "this process is still here"
    assert not (tmp_path / "out.pth").exists()


class Exits:
    """Ends its process when it is unpickled."""

    def __reduce__(self):
        import os

        return os._exit, (3,)


def test_a_pickled_module_becomes_its_state_dict(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    torch.save(net, tmp_path / "module.pth")
    assert convert(tmp_path / "module.pth", tmp_path / "out.pth", "--trust") == 0
    assert equal(read(tmp_path / "out.pth")["state_dict"], dict(copy.deepcopy(net).state_dict()))


@pytest.mark.parametrize(
    ("content", "message"),
    [({"epoch": 3}, "expected tensors in the file"), ([1, 2], "expected a dictionary of tensors")],
)
def test_a_file_without_tensors_is_refused_even_when_trusted(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "a.pth")
    assert convert(tmp_path / "a.pth", tmp_path / "out.pth", "--trust") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.pth").exists()


# ---- class names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [None, ("a", "b")])
def test_class_names_are_written_into_a_checkpoint_and_nothing_else_changes(run, tmp_path, known, capsys):
    import json

    from mmengine.logging import HistoryBuffer

    from frozen_det.weights.class_names import stated_classes

    stock = {**read(run / "full.pth"), "message_hub": {"log_scalars": {"loss": HistoryBuffer([1.0], [1], 5)}}}
    stock["meta"] = {"epoch": 3, **({"CLASSES": known} if known else {})}
    torch.save(stock, tmp_path / "stock.pth")
    categories = [{"id": 4, "name": "cat"}, {"id": 9, "name": "dog"}]
    (tmp_path / "data.json").write_text(json.dumps({"categories": categories}))
    assert convert(tmp_path / "stock.pth", tmp_path / "out.pth", "--classes-from", tmp_path / "data.json") == 0
    assert "the labels are 'cat', 'dog'" in capsys.readouterr().out
    named = torch.load(tmp_path / "out.pth", weights_only=True)
    assert stated_classes(named, "out") == ("cat", "dog") and named["meta"]["epoch"] == 3
    assert named["meta"]["category_ids"] == [4, 9]
    assert equal(named["state_dict"], dict(stock["state_dict"]))
    assert named["message_hub"]["log_scalars"]["loss"] == {"log": [1.0], "count": [1], "max_length": 5}


def test_another_number_of_class_names_is_refused(run, tmp_path, capsys):
    (tmp_path / "data.json").write_text('{"categories": [{"id": 1, "name": "cat"}]}')
    assert convert(run / "full.pth", tmp_path / "out.pth", "--classes-from", tmp_path / "data.json") == 2
    assert "expected the 2 classes of" in capsys.readouterr().err and not (tmp_path / "out.pth").exists()
