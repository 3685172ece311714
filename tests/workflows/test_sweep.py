"""A sweep repeats nothing that is done, resumes what is half done, and survives runs that fail."""

import errno
import fcntl
import json
import os
import re
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from frozen_det.engine.runner.run_lock import RunLock
from frozen_det.errors import InputError
from frozen_det.reports.run_record import headline, metric_word
from frozen_det.workflows.sweep import Sweep, SweepRun


def a_run(root, name="arm", seed=0, share=1.0, settings='{"lr": 1}', options=()) -> SweepRun:
    return SweepRun(
        f"{name}.py", name, seed, share, root / name / f"seed-{seed}", ["--seed", str(seed)], list(options), settings
    )


class Commands:
    """Stands for the two commands: training leaves a checkpoint, the test a number; `fail` names what breaks."""

    def __init__(self, monkeypatch, fail=(), seconds=0.0):
        self.calls, self.fail, self.seconds, self.at_once, self.most_at_once = [], set(fail), seconds, 0, 0
        self.lock = threading.Lock()
        commands = self
        monkeypatch.setattr(Sweep, "_call", lambda sweep, arguments, log: commands(arguments))

    def __call__(self, arguments):
        folder = arguments[arguments.index("--work-dir") + 1]
        with self.lock:
            self.calls.append(arguments)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self.lock:
            self.at_once -= 1
        if (arguments[0], arguments[1]) in self.fail:
            return 3
        if arguments[0] == "train":
            open(os.path.join(folder, "epoch_1.pth"), "wb").close()
        else:
            with open(arguments[arguments.index("--out") + 1], "w") as file:
                json.dump({"coco/bbox_mAP": 0.4125, "coco/bbox_mAP_50": 0.7}, file)
        return 0

    @property
    def verbs(self):
        return [arguments[0] for arguments in self.calls]


def test_each_run_is_trained_then_tested_on_its_final_checkpoint(tmp_path, monkeypatch):
    commands, lines = Commands(monkeypatch), []
    run = a_run(tmp_path, options=["a=1"])
    result = Sweep([run], log=lines.append).run()
    train, test = commands.calls
    assert train == [
        "train",
        "arm.py",
        "--work-dir",
        str(run.folder),
        "--resume",
        "--no-report",  # the sweep writes one over all
        "--seed",
        "0",
        "--cfg-options",
        "a=1",
    ]
    assert test[:3] == ["test", "arm.py", str(run.folder / "epoch_1.pth")] and test[-2:] == ["--cfg-options", "a=1"]
    assert result.done == [run.folder] and not result.failed
    assert re.fullmatch(r"\[1/1\] arm fraction 1 seed 0: \d+ s, AP 0\.412", lines[-1])


def test_a_finished_run_is_not_repeated_and_a_half_one_goes_on(tmp_path, monkeypatch):
    commands = Commands(monkeypatch, fail=[("test", "arm.py")])
    run = a_run(tmp_path)
    assert len(Sweep([run], log=str).run().failed) == 1
    commands.fail.clear()
    assert Sweep([run], log=str).run().done == [run.folder]
    assert commands.verbs == ["train", "test"] * 2  # training is called with --resume and finds its checkpoint
    assert not list(run.folder.parent.glob("*.previous-*"))
    lines = []
    result = Sweep([run], log=lines.append).run()
    assert commands.verbs == ["train", "test"] * 2 and result.reused == 1 and result.done == [run.folder]
    assert "finished before" in lines[0] and "AP 0.412" in lines[0]


def test_other_settings_move_the_old_run_aside_and_say_what_changed(tmp_path, monkeypatch):
    commands, lines = Commands(monkeypatch), []
    Sweep([a_run(tmp_path)], log=str).run()
    Sweep([a_run(tmp_path, settings='{"lr": 2}')], log=lines.append).run()
    old = list((tmp_path / "arm").glob("seed-0.previous-*"))
    assert len(old) == 1 and (old[0] / "epoch_1.pth").is_file()
    assert "the settings changed (lr)" in lines[0] and str(old[0]) in lines[0]
    assert commands.verbs == ["train", "test"] * 2


def test_files_of_an_unknown_run_are_moved_aside_not_overwritten(tmp_path, monkeypatch):
    Commands(monkeypatch)
    run, lines = a_run(tmp_path), []
    run.folder.mkdir(parents=True)
    (run.folder / "epoch_9.pth").write_text("precious")
    Sweep([run], log=lines.append).run()
    old = list((tmp_path / "arm").glob("seed-0.previous-*"))
    assert (old[0] / "epoch_9.pth").read_text() == "precious" and not (run.folder / "epoch_9.pth").exists()


@pytest.mark.parametrize(
    ("fail", "fault"), [("train", "training ended with exit code 3"), ("test", "the test ended with exit code 3")]
)
def test_a_failed_run_is_named_with_its_log_and_the_others_go_on(tmp_path, monkeypatch, fail, fault):
    commands, lines = Commands(monkeypatch, fail=[(fail, "bad.py")]), []
    runs = [a_run(tmp_path, name) for name in ("one", "bad", "two")]
    result = Sweep(runs, log=lines.append).run()
    assert [(run.name, what) for run, what in result.failed] == [("bad", fault)]
    assert result.done == [runs[0].folder, runs[2].folder]
    assert any("FAILED" in line and str(runs[1].folder / "sweep.log") in line for line in lines)
    assert commands.calls[-1][1] == "two.py"


def test_two_jobs_run_side_by_side_with_their_share_of_the_cores(tmp_path, monkeypatch):
    commands = Commands(monkeypatch, seconds=0.05)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    sweep = Sweep([a_run(tmp_path, seed=seed) for seed in range(4)], jobs=2, log=str)
    assert sweep.threads == 4 and Sweep([], jobs=2, processes=2).threads == 2 and Sweep([], jobs=16).threads == 1
    assert len(sweep.run().done) == 4 and commands.most_at_once == 2


@contextmanager
def another_process(work):
    """A fork that calls `work` with a function to call when it has begun; killed at the end."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work(lambda: os.write(told, b"1"))
            time.sleep(60)
        finally:
            os._exit(1)
    try:
        os.close(told)
        assert os.read(ready, 1) == b"1"
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)


def test_two_sweeps_of_one_folder_share_the_work_and_one_that_was_killed_holds_nothing(tmp_path, monkeypatch):
    def sweeps(begun):
        monkeypatch.setattr(Sweep, "_call", lambda sweep, arguments, log: begun() and time.sleep(60))
        Sweep([a_run(tmp_path)], log=str).run()

    commands, lines = Commands(monkeypatch), []
    with another_process(sweeps):
        result = Sweep([a_run(tmp_path), a_run(tmp_path, seed=1)], log=lines.append).run()
    assert "left to another process" in lines[0] and result.done == [a_run(tmp_path, seed=1).folder]
    assert Sweep([a_run(tmp_path)], log=str).run().done == [a_run(tmp_path).folder]
    assert commands.verbs == ["train", "test"] * 2 and not list(tmp_path.rglob("*.lock"))


def test_a_training_that_outlived_its_sweep_is_left_alone_whatever_the_settings(tmp_path, monkeypatch):
    Commands(monkeypatch)
    Sweep([a_run(tmp_path)], log=str).run()
    lines = []
    with another_process(lambda begun: [RunLock(a_run(tmp_path).folder), begun(), time.sleep(60)]):
        result = Sweep([a_run(tmp_path, settings='{"lr": 2}')], log=lines.append).run()
    assert "left to another process" in lines[0] and not result.done
    assert not list(tmp_path.rglob("*.previous-*"))


def test_a_file_system_without_locks_takes_a_sweep(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("lockf", "flock"):
        monkeypatch.setattr(fcntl, name, refuse)
    commands = Commands(monkeypatch)
    assert len(Sweep([a_run(tmp_path)], log=str).run().done) == 1 and commands.verbs == ["train", "test"]


def test_the_time_left_is_estimated_from_what_the_finished_runs_took(tmp_path, monkeypatch):
    Commands(monkeypatch)
    clock = iter([0.0, 36.0, 36.0, 36.0, 100.0, 100.0, 100.0, 100.0])
    monkeypatch.setattr("frozen_det.workflows.sweep.time.perf_counter", lambda: next(clock))
    runs, lines = [a_run(tmp_path, seed=seed) for seed in range(3)], []
    for run, weight in zip(runs, (0.1, 0.1, 1.0)):
        run.weight = weight
    monkeypatch.setattr("frozen_det.workflows.sweep._remember", lambda folder, memory: None)
    Sweep(runs, log=lines.append)._guarded([(1, runs[0])])
    assert lines[-1].endswith("about 7 min left")  # 36 s for weight 0.1; 1.1 are left


def test_the_command_runs_in_a_process_of_its_own_with_its_threads_and_its_log(tmp_path):
    sweep = Sweep([], jobs=2, log=str)
    with open(tmp_path / "log", "ab") as log:
        assert sweep._call(["--version"], log) == 0
        assert sweep._call(["unheard"], log) == 2
    text = (tmp_path / "log").read_text()
    assert "frozen_det.cli --version\n" in text and "no command 'unheard'" in text


def test_a_kill_ends_the_children(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", str(tmp_path / "sleep.sh"))
    (tmp_path / "sleep.sh").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "sleep.sh").chmod(0o755)
    sweep = Sweep([a_run(tmp_path), a_run(tmp_path, seed=1)], log=str)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    start = time.perf_counter()
    with pytest.raises(SystemExit):
        sweep.run()
    assert time.perf_counter() - start < 20 and not sweep._children
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_no_jobs_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        Sweep([], jobs=0)


@pytest.mark.parametrize(
    ("metrics", "preferred", "name", "word"),
    [
        (["coco/segm_mAP", "coco/bbox_mAP_50", "coco/bbox_mAP"], None, "coco/bbox_mAP", "AP"),
        (["lvis/bbox_APr", "lvis/bbox_AP"], None, "lvis/bbox_AP", "AP"),
        (["accuracy/top5", "accuracy/top1"], None, "accuracy/top1", "top1"),
        (["coco/bbox_mAP", "coco/bbox_mAP_50"], "coco/bbox_mAP_50", "coco/bbox_mAP_50", "bbox_mAP_50"),
        (["coco/bbox_mAP"], "auto", "coco/bbox_mAP", "AP"),
        (["own/score"], None, "own/score", "score"),
    ],
)
def test_the_headline_number_follows_from_what_the_run_recorded(metrics, preferred, name, word):
    assert headline(dict.fromkeys(metrics, 0.5), preferred) == name and metric_word(name) == word
    assert headline({"time": 1.0}) is None
