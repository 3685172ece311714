"""Each bad weights file is one clear error: nothing of it is run, nothing loaded, nothing frozen at random."""

import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.export import export_backbone
from frozen_det.models import FrozenBackbone
from frozen_det.weights.card import KEY

BODY, STRIDES = dict(type="timm", name="test_resnet"), (4, 8)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A weights file with its card."""
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    torch.manual_seed(0)
    export_backbone(FrozenBackbone(BODY, "random", STRIDES).eval(), path)
    return path


def changed(good: Path, target: Path, tensors=None, card=None) -> Path:
    """A copy of the file with other tensors or another card."""
    with safe_open(str(good), framework="pt") as file:
        meta = dict(file.metadata())
    if card:
        meta[KEY] = json.dumps({**json.loads(meta[KEY]), **card})
    if tensors is not None:
        meta.pop(KEY)  # a file of another project: no card
    save_file(load_file(good) if tensors is None else tensors, target, metadata=meta)
    return target


class Runs:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def wrong_keys(good, folder):
    values = load_file(good).values()
    return changed(good, folder / "a.safetensors", {f"net.{i}.weight": value for i, value in enumerate(values)})


def half_a_file(good, folder):
    tensors = load_file(good)
    return changed(good, folder / "a.safetensors", dict(list(tensors.items())[: len(tensors) // 2]))


def another_architecture(good, folder):
    """The card of another architecture. A pair whose shapes do agree: tests/export/test_weights_file.py."""
    return changed(good, folder / "a.safetensors", card=dict(architecture="timm/resnet18"))


def another_width(good, folder):
    wider = timm.create_model("test_resnet", channels=(48, 64, 64, 128))
    torch.save(wider.state_dict(), folder / "a.pth")
    return folder / "a.pth"


def malicious(good, folder):
    torch.save({"state_dict": load_file(good), "extra": Runs(folder / "ran")}, folder / "a.pth")
    return folder / "a.pth"


def malicious_plain_pickle(good, folder):
    (folder / "a.pkl").write_bytes(pickle.dumps(Runs(folder / "ran")))
    return folder / "a.pkl"


def truncated(good, folder):
    (folder / "a.safetensors").write_bytes(good.read_bytes()[:-1000])
    return folder / "a.safetensors"


def lying_card(good, folder):
    return changed(good, folder / "a.safetensors", card=dict(digest="0" * 64))


BAD = [
    (wrong_keys, "tensors missing"),
    (half_a_file, "tensors missing"),
    (another_architecture, "by its card, and the body is timm/test_resnet: not the same function"),
    (another_width, "of another shape"),
    (malicious, "Nothing was run"),
    (malicious_plain_pickle, "Nothing was run"),
    (truncated, "is broken or incomplete"),
    (lying_card, "states sha256 000000000000, but the tensors"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_a_bad_file_is_one_error_and_leaves_the_backbone_unused(good, tmp_path, make, message):
    path = make(good, tmp_path)
    backbone = FrozenBackbone(BODY, str(path), STRIDES)
    before = backbone.frozen_fingerprint()
    with pytest.raises(InputError) as raised:
        backbone.init_weights()
    said = str(raised.value)
    assert message in said and str(path) in said and "\n" not in said
    assert not (tmp_path / "ran").exists(), "code from the file ran"
    assert before.first_difference(backbone.frozen_fingerprint()) is None, "part of it was loaded"
    with pytest.raises(InputError, match="nothing was loaded into"):
        backbone(torch.zeros(1, 3, 64, 64))


def test_the_good_file_beside_them_loads(good):
    backbone = FrozenBackbone(BODY, str(good), STRIDES).eval()
    backbone.init_weights()
    assert all(torch.equal(backbone.body.state_dict()[name], value) for name, value in load_file(good).items())


def test_training_with_a_bad_file_ends_in_one_line_before_the_first_step(good, tmp_path, capsys):
    from tests.training_runs import tiny_config, tiny_scenes

    path = malicious(good, tmp_path)
    cfg = tiny_config(tiny_scenes(tmp_path / "toy"), tmp_path / "work")
    cfg.model.detector.backbone = dict(type="frozen_det.FrozenBackbone", body=BODY, weights=str(path), strides=STRIDES)
    cfg.dump(str(tmp_path / "config.py"))
    assert main(["train", str(tmp_path / "config.py")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("frozen-det train:")]
    assert len(lines) == 1 and "Nothing was run" in lines[0] and "convert --trust" in lines[0]
    assert not (tmp_path / "ran").exists() and not list((tmp_path / "work").glob("*.pth"))
