"""export: the command finds the backbone in config and checkpoint, and says what it wrote."""

from types import SimpleNamespace

import pytest
import torch

from frozen_det.cli import main
from frozen_det.cli.export import FORMATS, _format
from frozen_det.weights.card import read_card

from ..torch_versions import needs_programs
from .test_convert import Detector, run  # noqa: F401  the fixture


@pytest.mark.parametrize("form", ["full", "lean"])
def test_a_checkpoint_gives_the_backbone_it_was_trained_on(run, tmp_path, form, capsys):  # noqa: F811
    out = tmp_path / "a.safetensors"
    assert main(["export", str(run / "config.py"), str(run / f"{form}.pth"), "-o", str(out)]) == 0
    card = read_card(out)
    assert f"{out}: timm/resnet10t, strides [4, 8, 16, 32]" in capsys.readouterr().out
    assert card.source == "base.pth" and card.digest == _digest(run)


def _digest(folder) -> str:
    model = Detector(str(folder / "base.pth"))
    model.backbone.init_weights()
    return model.backbone.frozen_fingerprint().digest


@needs_programs
def test_a_program_is_written_at_a_fixed_size(run, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "a.pt2"
    assert main(["export", str(run / "config.py"), str(run / "full.pth"), "-o", str(out), "--size", "64"]) == 0
    printed = capsys.readouterr().out
    assert "height and width fixed at 64 x 64, batch open" in printed and "stride_4, stride_8" in printed
    assert "differs from eager by at most 0.0e+00" in printed and out.exists()


def test_a_checkpoint_of_another_model_is_one_line(run, tmp_path, capsys):  # noqa: F811
    torch.save({"state_dict": {"neck.weight": torch.ones(1)}}, tmp_path / "other.pth")
    command = ["export", str(run / "config.py"), str(tmp_path / "other.pth"), "-o", str(tmp_path / "a.pth")]
    assert main(command) == 2
    assert "has no entry that starts with 'backbone.'" in capsys.readouterr().err
    state = torch.load(run / "full.pth", weights_only=True)["state_dict"]
    del state["backbone.body.layer1.0.conv1.weight"]
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    assert main(command) == 2
    assert "1 of" in capsys.readouterr().err and not (tmp_path / "a.pth").exists()


class Arguments:
    def __init__(self, **given):
        usual = dict(out="a.pth", format=None, layout="plain", size=None, part="backbone", int8=False)
        self.__dict__.update(usual, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(out="a.bin"), "ends in one of .safetensors, .pth, .onnx, .pt2"),
        (dict(out="a.onnx", format="pth"), "--format pth does not go with a.onnx"),
        (dict(out="a.onnx", layout="timm"), "--layout timm is for weights files"),
        (dict(size=[64]), "--size and --part are for programs"),
        (dict(out="a.onnx", int8=True), "--int8 is for --part detector"),
        (dict(out="a.pt2", part="detector", int8=True), "--int8 is for --part detector and a file that ends in .onnx"),
        (dict(part="detector"), "--size and --part are for programs"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(given, message):
    from frozen_det.errors import InputError

    with pytest.raises(InputError, match=message):
        _format(Arguments(**given))


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_suffix_says_the_format(suffix):
    assert _format(Arguments(out=f"a{suffix}")) == FORMATS[suffix]


def test_with_further_checkpoints_the_first_has_the_config_and_each_gets_a_file(tmp_path, capsys, monkeypatch):
    from frozen_det import export
    from frozen_det.inference import family

    taken = {}

    def loaded(checkpoints, configs, device, options):
        taken.update(checkpoints=checkpoints, configs=configs, device=device, options=options)
        return "the family"

    def written(members, folder, kind, size):
        assert (members, folder, kind, size) == ("the family", str(tmp_path), "onnx", (64, 96))
        report = SimpleNamespace(outputs=("boxes",), largest_difference=0.0, fixed_hw=None)
        return {"backbone": report, "a": report, "b": report}

    monkeypatch.setattr(family, "load_family", loaded)
    monkeypatch.setattr(export, "export_family", written)
    command = ["export", "quickstart", "x/a.pth", "--with", "y/b.pth", "-o", str(tmp_path), "--size", "64", "96"]
    assert main([*command, "--cfg-options", "data_root=d"]) == 0
    assert taken["configs"] == {"a": "quickstart"} and taken["device"] == "cpu"
    assert list(taken["checkpoints"]) == ["a", "b"] and taken["options"] == {"data_root": "d"}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{tmp_path}/{name}.onnx" for name in ("backbone", "a", "b")]
