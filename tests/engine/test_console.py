"""The console of a training holds what a person needs; the log file holds everything."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook

from frozen_det.engine.console import _duration, _end_lines, _place, _Progress, scores
from frozen_det.engine.runs import new_runner
from frozen_det.engine.testing import evaluate
from frozen_det.host.noise import leave_out
from tests.training_runs import tiny_config, tiny_scenes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(lines of the console, text of the log file, folder) of a training."""
    folder = tmp_path_factory.mktemp("concise")
    cfg = tiny_config(tiny_scenes(folder / "toy"), folder / "run", train_cfg__max_epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda *words, **options: lines.append(" ".join(map(str, words))))
        runner = new_runner(cfg, concise=True)
        runner.train()
    return lines, Path(runner.log_dir, f"{runner.timestamp}.log").read_text(), Path(runner.work_dir)


def test_before_the_first_step_it_says_data_model_proof_and_where_the_log_is(run):
    lines, _, folder = run
    first = next(number for number, line in enumerate(lines) if ", step " in line)
    said = [line for line in lines[:first] if line]
    assert len(said) < 40
    assert "train  8 images, 10 classes (zero, one, two, three, four, ...), 4 steps of 2 an epoch, 1 epochs" in said
    assert any(line.startswith("model  FasterRCNN on timm/tf_efficientnet_lite0: ") for line in said)
    assert any(line.startswith("frozen backbone: 288 tensors, sha256 ") for line in said)
    assert any(line.startswith(f"log    {folder}") for line in said)


def test_then_steps_with_the_time_left_scores_and_the_best_checkpoint(run):
    lines, _, folder = run
    # No time is named where less than half a second is left.
    assert any(re.fullmatch(r"epoch 1 of 1, step 2 of 4, loss \d+\.\d{3}(, \d+ s left)?", line) for line in lines)
    assert any(line.startswith("epoch 1 of 1: bbox_mAP ") for line in lines)
    assert lines[-1].startswith("best   bbox_mAP ") and lines[-1].endswith(str(next(folder.glob("best_*.pth"))))


def test_the_log_file_keeps_everything(run):
    log = run[1]
    assert "Config:" in log and "Hooks will be executed" in log and "Epoch(train)" in log and "frozen proof" in log


def test_scores_begin_with_the_monitored_one_and_leave_out_what_is_not_there():
    found = {"coco/bbox_mAP_50": 0.5, "coco/bbox_mAP_s": -1.0, "coco/bbox_mAP": 0.25, "name": "x"}
    assert scores(found, "coco/bbox_mAP") == "bbox_mAP 0.250, bbox_mAP_50 0.500"
    assert scores({}) == "no scores"


def test_of_several_best_checkpoints_each_is_named(tmp_path):
    hook = CheckpointHook(save_best=["coco/bbox_mAP", "coco/segm_mAP"], rule="greater")
    hook.best_ckpt_path_dict = {"coco/bbox_mAP": "a.pth", "coco/segm_mAP": None}
    found = {"best_score_coco/bbox_mAP": 0.5}
    runner = SimpleNamespace(hooks=[hook], message_hub=SimpleNamespace(get_info=found.get))
    assert _end_lines(runner) == ["best   bbox_mAP 0.500: a.pth"]


def test_scores_are_of_the_epoch_that_ended_and_steps_of_the_one_that_runs():
    runner = SimpleNamespace(epoch=2, max_epochs=3, train_loop=None)
    assert (_place(runner, ended=True), _place(runner)) == ("epoch 2 of 3", "epoch 3 of 3")


@pytest.mark.parametrize(
    "seconds_a_step, said",
    [
        (0.05, {2: ""}),  # 0.4 s
        (3.0, {2: ", 24 s left", 9: ", 3 s left"}),  # 20 s pass between the lines
        (30.0, {2: ", 4 min 0 s left", 3: ", 3 min 30 s left", 9: ", 30 s left", 10: ""}),
    ],
)
def test_the_time_left_is_the_mean_step_times_the_steps_to_come(seconds_a_step, said, monkeypatch):
    now, lines = [100.0], []
    monkeypatch.setattr("frozen_det.engine.console.time.monotonic", lambda: now[0])
    monkeypatch.setattr("frozen_det.engine.console._say", lines.append)
    runner = SimpleNamespace(iter=0, epoch=0, max_epochs=1, max_iters=10, train_loop=None)
    progress = _Progress(runner)
    for step in range(10):
        now[0] += seconds_a_step
        runner.iter = step
        progress.step(runner, {"loss": 0.5})
    told = {int(re.search(r"step (\d+)", line)[1]): line.partition(", loss 0.500")[2] for line in lines}
    assert {step: told[step] for step in said} == said


@pytest.mark.parametrize("seconds, words", [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (7384, "2 h 3 min")])
def test_durations(seconds, words):
    assert _duration(seconds) == words


@pytest.mark.parametrize(
    "text, kept", [('"FileClient" will be deprecated in future.', False), ('loss of "FileClient"', True)]
)
def test_only_lines_that_nobody_can_act_on_are_left_out(text, kept):
    assert leave_out(logging.LogRecord("", logging.WARNING, "", 0, text, (), None)) == kept


def test_a_test_says_its_data_and_the_tables_of_its_metrics(run, tmp_path, capfd):
    folder = run[2]
    (config,) = folder.glob("*.py")
    numbers = evaluate(config, folder / "epoch_1.pth", work_dir=tmp_path)
    out, err = capfd.readouterr()
    lines = (out + err).splitlines()
    assert any(line.startswith("test   4 images, 10 classes (zero, one,") for line in lines)
    (row,) = (line for line in lines if " - bbox: mAP " in line)
    assert f"mAP {numbers['coco/bbox_mAP']:.3f}" in row
    assert len(lines) < 30 and not any("Config:" in line or "Epoch(test)" in line for line in lines)
    evaluate(config, folder / "epoch_1.pth", work_dir=tmp_path, tables=False)
    assert " - bbox: mAP " not in "".join(capfd.readouterr())
