"""`analyze` from the command line: one classifier on real files, read back the second time, bad input is one line."""

import json

import pytest
import torch
from PIL import Image

from frozen_det.cli import run_command


@pytest.fixture
def data(tmp_path):
    """Two images of each of two classes, 32 px, and a CIFAR ResNet-8's weights."""
    for split in ("train", "test"):
        for label, name in enumerate(("dark", "light")):
            for number in range(2):
                path = tmp_path / "data" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (200 * label + 9 * number,) * 3).save(path)
    from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet

    torch.save(CifarResNet(8, 2).state_dict(), tmp_path / "weights.pth")
    return tmp_path


def words(data, study):
    return [
        study,
        "upstream/resnet20_plain_cifar10",
        str(data / "weights.pth"),
        "--num-images",
        "4",
        "--pgd-images",
        "2",
        "--corruption-images",
        "0",
        "-o",
        str(data / "out"),
        "--cfg-options",
        f"data_root={data / 'data'}",
        "model.backbone.depth=8",
        "model.num_classes=2",
    ]


def test_all_writes_a_result_for_each_study_and_reads_them_back(data, capsys):
    assert run_command("analyze", words(data, "all")) == 0
    assert "6 results, 0 of them from before" in capsys.readouterr().out
    stored = json.loads((data / "out" / "fgsm" / "weights.json").read_text())
    assert stored["measured"]["notes"]["num_images"] == 4
    assert (data / "out" / "analysis.html").is_file() and "## Calibration" in (data / "out" / "analysis.md").read_text()
    assert run_command("analyze", words(data, "all")) == 0
    assert "6 results, 6 of them from before" in capsys.readouterr().out
    assert run_command("analyze", words(data, "ood,fgsm")) == 0
    assert "## Calibration" in (data / "out" / "analysis.md").read_text()  # what is there is shown


def test_a_folder_is_probed_and_trained_on_and_both_are_read_back(data, capsys, monkeypatch):
    from mmengine.config import Config

    monkeypatch.setattr(Config, "pretty_text", property(lambda cfg: ""))  # formatting takes longer than training
    line = [
        "transfer",
        "--transfer-data",
        f"own={data / 'data'}",
        "--finetune",
        "--finetune-epochs",
        "1",
        *words(data, "transfer")[1:],
    ]
    assert run_command("analyze", line) == 0
    stored = json.loads((data / "out" / "transfer" / "weights.json").read_text())["measured"]
    assert set(stored["numbers"]) == {"own, linear probe", "own, 20-NN", "own, fine-tuned"}
    assert stored["notes"]["own, epochs of fine-tuning"] == 1
    capsys.readouterr()
    assert run_command("analyze", line) == 0
    assert "1 results, 1 of them from before" in capsys.readouterr().out
    line[5] = "0"
    assert run_command("analyze", line) == 2
    assert "--finetune-epochs" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_second_analysis_reads_the_features_of_the_first_and_finds_the_same(data, capsys):
    found = []
    for number in range(3):
        line = [*words(data, "calibration"), "-o", str(data / f"out-{number}")]
        assert run_command("analyze", line + ["--feature-cache", str(data / "features")] * (number > 0)) == 0
        found.append(json.loads((data / f"out-{number}" / "calibration" / "weights.json").read_text())["measured"])
        counts = [one for one in capsys.readouterr().err.splitlines() if one.startswith("feature cache")]
        assert len(counts) == (number > 0)
        assert (
            ("0 entries read, 4 written" in counts[0], "4 entries read, 0 written" in counts[0])
            == (number == 1, number == 2)
            if counts
            else True
        )
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda one: ["odd", *one[1:]], "STUDY"),
        (lambda one: [one[0], one[2], *one[3:]], "config before the checkpoint"),
        (lambda one: [*one, "data_root=nowhere"], "nowhere"),
        (lambda one: ["wsol", *one[1:]], "--wsol-data"),
        (lambda one: [*one[:3], "--feature-cache", one[2], *one[3:]], "weights.pth"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_two(data, capsys, change, said):
    assert run_command("analyze", change(words(data, "ood"))) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
