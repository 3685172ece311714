"""The sweep as a user calls it: settings checked before anything runs, results and one report at the end."""

import json
import os
import subprocess
import sys

import pytest
from mmdet.visualization import DetLocalVisualizer

from frozen_det.cli import main
from frozen_det.workflows.sweep import Sweep
from tests.training_runs import tiny_config, tiny_scenes


@pytest.fixture
def config(tmp_path):
    cfg = tiny_config(tiny_scenes(tmp_path / "toy"), tmp_path / "unused", train_cfg__max_epochs=1)
    cfg.pop("experiment_name")  # each run gets one by its time
    cfg.dump(str(tmp_path / "tiny.py"))
    return tmp_path / "tiny.py"


@pytest.mark.slow
def test_a_sweep_ends_with_results_ids_and_a_report_and_repeats_nothing(config, tmp_path, monkeypatch, capsys):
    calls = []

    def call(sweep, arguments, log):
        # In this process: starting Python twice takes longer than the runs. The second command of a process would
        # write its config over the first one's: the host keeps its visualizer.
        DetLocalVisualizer._instance_dict.clear()
        calls.append(arguments[0])
        return main(arguments)

    monkeypatch.setattr(Sweep, "_call", call)
    argv = [
        "sweep",
        str(config),
        "--seeds",
        "3",
        "--fractions",
        "0.5",
        "--same-updates",
        "--work-dir",
        str(tmp_path / "out"),
    ]
    assert main(argv) == 0
    folder = tmp_path / "out" / "tiny" / "fraction-0.5" / "seed-3"
    assert calls == ["train", "test"] and (folder / "epoch_2.pth").is_file()  # half the images, twice the epochs
    record = json.loads((folder / "fraction_ids.json").read_text())["datasets"][0]
    assert record["num_images"] == len(record["ids"]) and (record["of_images"], record["share"]) == (8, 0.5)
    assert "coco/bbox_mAP" in json.loads((folder / "test.json").read_text())
    said = capsys.readouterr().out
    assert "as many updates as with all the data: max_epochs 1 -> 2" in said
    assert "[1/1] tiny fraction 0.5 seed 3:" in said and "1 of 1 runs have results (0 from before), 0 failed" in said
    assert "trained on 50 % data" in (tmp_path / "out" / "report.md").read_text()
    assert main(argv) == 0
    assert calls == ["train", "test"] and "(1 from before)" in capsys.readouterr().out


def test_a_dry_run_names_the_runs_and_starts_none(tmp_path, capsys):
    code = main(
        [
            "sweep",
            "quickstart",
            "--seeds",
            "0",
            "1",
            "--fractions",
            "1",
            "0.1",
            "--work-dir",
            str(tmp_path / "out"),
            "--dry-run",
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and not (tmp_path / "out").exists()
    assert "4 runs: 1 configs x 2 fractions x 2 seeds" in lines
    assert lines[-4:] == [
        f"quickstart fraction {f} seed {s} -> {tmp_path}/out/quickstart/fraction-{f}/seed-{s}"
        for f in ("0.1", "1")
        for s in (0, 1)
    ]  # little data first


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["unheard"], "there is no 'unheard'"),
        (["quickstart", "--fractions", "0"], "expected a fraction in (0, 1], got 0.0"),
        (["quickstart", "quickstart.py"], "expected configs of different names"),
        (["quickstart", "--seeds", "1", "1"], "each value once in --seeds"),
        (["quickstart", "--nproc", "2"], "--launch torchrun"),
        (["quickstart", "--jobs", "0"], "at least 1 as --jobs"),
    ],
)
def test_bad_settings_are_one_line_before_anything_runs(argv, message, tmp_path, capsys):
    assert main(["sweep", *argv, "--work-dir", str(tmp_path / "out")]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("frozen-det sweep:")]
    assert len(error) == 1 and message in error[0] and not (tmp_path / "out").exists()


def test_runs_together_end_as_they_do_one_by_one(config, tmp_path):
    """In a process of its own, as a user's are: two seeds of the decoder on one order of the data."""
    import torch

    argv = ["sweep", str(config), "--seeds", "0", "1", "--data-seed", "0", "--together"]
    assert main([*argv, "--work-dir", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "tiny" / "fraction-1"
    outcomes = json.loads((folder / ".seed-0.together" / "together.json").read_text())
    assert outcomes == {str(folder / "seed-0"): None, str(folder / "seed-1"): None}
    alone = ["train", str(config), "--seed", "1", "--work-dir", str(tmp_path / "alone")]
    # As many threads as the sweep gives its processes: sums are cut by their number.
    subprocess.run(
        [sys.executable, "-m", "frozen_det.cli", *alone, "--cfg-options", "train_dataloader.sampler.seed=0"],
        env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1)},
        check=True,
        capture_output=True,
    )
    ends = [
        torch.load(one / "epoch_1.pth", weights_only=True)["state_dict"]
        for one in (tmp_path / "alone", folder / "seed-1")
    ]
    assert ends[0].keys() == ends[1].keys() and all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert "coco/bbox_mAP" in json.loads((folder / "seed-1" / "test.json").read_text())


def test_together_takes_one_process_for_each(config, tmp_path, capsys):
    argv = ["sweep", str(config), "--together", "--launch", "torchrun", "--nproc", "2"]
    assert main([*argv, "--work-dir", str(tmp_path / "out")]) == 2
    assert "expected one process of each run with --together, got --nproc 2" in capsys.readouterr().err


def test_arguments_that_everyone_changes_become_overrides_of_each_config(tmp_path):
    import argparse

    from frozen_det.cli import sweep

    parser = argparse.ArgumentParser()
    sweep.add_arguments(parser)
    changes = ["--size", "96", "--epochs", "2", "--adapters", "lora", "--cfg-options", "randomness.seed=5"]
    args = parser.parse_args(["quickstart", "custom_coco", *changes, "--work-dir", str(tmp_path)])
    quickstart, custom = sweep.planned_runs(args)
    both = ["model.detector.backbone.adapters.type=lora", "randomness.seed=5"]
    assert quickstart.options == [
        "train_cfg.max_epochs=2",
        "train_dataloader.dataset.pipeline.2.scale=(96,96)",
        "val_dataloader.dataset.pipeline.1.scale=(96,96)",
        *both,
    ]
    assert custom.options == ["train_cfg.max_epochs=2", "image_size=96", *both]
