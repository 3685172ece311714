"""Configs x fractions x seeds, each a run of its own processes: train, test, and at the end one report over all.

A finished run with the same settings is not repeated, a half one goes on from its newest checkpoint, one with other
settings is moved aside. A run that fails is counted and named; the others go on.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..reports.run_record import headline, metric_word
from ..weights.atomic_write import replacing

MEMORY = "sweep.json"
LOG = "sweep.log"
RESULT = "test.json"
SECOND_RESULT = "second_test.json"
DETECTIONS = "detections/test"
# Where a run's files lie, and whether it goes on from a checkpoint, does not make it another run.
_NOT_SETTINGS = ("work_dir", "resume", "load_from", "launcher")


@dataclass
class SweepRun:
    """One run of a sweep.

    Attributes:
        config: path or shipped name; name: of the config's file.
        seed, share: of the run and of its data.
        folder: its work directory.
        arguments: of ``frozen-det train`` behind the config.
        options: ``--cfg-options`` as typed; the test gets them too.
        settings: resolved config as text; another text is another run.
        save_best: the metric that the config keeps its best checkpoint by, if it names one.
        weight: expected length among the runs of the sweep.
        second_test: ``--cfg-options`` of a second test of the final checkpoint, on other images; empty for none.
    """

    config: str
    name: str
    seed: int
    share: float
    folder: Path
    arguments: list[str]
    options: list[str]
    settings: str
    save_best: str | None = None
    weight: float = 1.0
    second_test: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What a line on the terminal calls it."""
        return f"{self.name} fraction {self.share:g} seed {self.seed}"

    @property
    def digest(self) -> str:
        """Short name of the settings."""
        return hashlib.sha256(self.settings.encode()).hexdigest()[:16]


@dataclass
class SweepResult:
    """How the runs ended: folders with results, and (run, exit code) of those that failed."""

    done: list[Path] = field(default_factory=list)
    reused: int = 0
    failed: list[tuple[SweepRun, str]] = field(default_factory=list)


class Sweep:
    """Runs a list of :class:`SweepRun`.

    Args:
        runs: in the order in which they start.
        jobs: how many at a time.
        processes: of each run, started by torchrun; 1 starts none.
        say: takes a line for the terminal.
    """

    def __init__(self, runs: list[SweepRun], jobs: int = 1, processes: int = 1, say: Callable[[str], None] = print):
        if jobs < 1 or processes < 1:
            raise InputError(f"expected at least 1 as --jobs and --nproc, got {jobs} and {processes}.")
        self.runs, self.jobs, self.processes, self.say = runs, jobs, processes, say
        self.threads = max(1, (os.cpu_count() or 1) // (jobs * processes))
        self.result = SweepResult()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen] = set()
        self._spent = self._worked = 0.0
        self._left = sum(run.weight for run in runs)
        self._stopped = False

    def run(self) -> SweepResult:
        """Do all runs; returns when the last has ended. Ctrl-C or a kill ends the children too."""
        ours = threading.current_thread() is threading.main_thread() and (
            signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        )
        if ours:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            with ThreadPoolExecutor(self.jobs) as pool:
                futures = [pool.submit(self._guarded, number, run) for number, run in enumerate(self.runs, 1)]
                try:
                    for future in futures:
                        future.result()
                except BaseException as error:
                    self._stop()
                    error.on_disk = (  # type: ignore[attr-defined]
                        f"{len(self.result.done)} of {len(self.runs)} runs are finished; the same command "
                        "goes on with the rest."
                    )
                    raise
        finally:
            if ours:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return self.result

    # -- one run ----------------------------------------------------------------------------------------------------

    def _guarded(self, number: int, run: SweepRun) -> None:
        """One run under a lock on its folder, so that two sweeps of one folder share the work."""
        if self._stopped:
            return
        run.folder.mkdir(parents=True, exist_ok=True)
        place = f"[{number}/{len(self.runs)}] {run.title}"
        # Beside the folder: the folder itself may be moved aside.
        with open(run.folder.with_name(f".{run.folder.name}.lock"), "w", encoding="utf-8") as lock:
            if not _taken(lock):
                self.say(f"{place}: left to another sweep that works on {run.folder}")
                with self._lock:
                    self._left -= run.weight
                return
            self._one(place, run, lock.fileno())

    def _one(self, place: str, run: SweepRun, lock: int) -> None:
        memory = self._memory(place, run)
        start = time.perf_counter()
        is_tested = bool(memory.get("finished")) and (run.folder / RESULT).is_file()
        if not (is_tested and _second_is_done(run, memory)):
            self.say(f"{place}: started, log in {run.folder / LOG}")
            memory["finished"] = is_tested
            fault = (None if is_tested else self._train_and_test(run, lock)) or self._second_test(run, lock)
            memory["seconds"] = round(memory.get("seconds", 0.0) + time.perf_counter() - start, 1)
            memory["finished"] = is_tested or fault is None
            memory["second_test"] = run.second_test if fault is None else None
            _remember(run.folder, memory)
            self._count(place, run, time.perf_counter() - start, fault)
        else:
            with self._lock:
                self._left -= run.weight
                self.result.reused += 1
                self.result.done.append(run.folder)
            self.say(f"{place}: finished before, took {memory.get('seconds', 0):.0f} s, {_score(run)}")

    def _memory(self, place: str, run: SweepRun) -> dict:
        """What is known of the run; a folder with other settings is moved aside first."""
        path = run.folder / MEMORY
        memory = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if memory.get("digest") not in (None, run.digest) or (not memory and any(run.folder.iterdir())):
            aside = run.folder.with_name(f"{run.folder.name}.previous-{time.strftime('%Y%m%d-%H%M%S')}")
            run.folder.rename(aside)
            run.folder.mkdir()
            changed = ", ".join(_changed(memory.get("settings"), run.settings)) or "unknown before"
            self.say(f"{place}: the settings changed ({changed}); the old run was moved to {aside}")
            memory = {}
        if not memory:
            memory = {"digest": run.digest, "settings": run.settings, "finished": False}
            _remember(run.folder, memory)
        return memory

    def _train_and_test(self, run: SweepRun, lock: int) -> str | None:
        """Run both commands. Returns None, or what went wrong in words."""
        from ..weights.kept_checkpoints import latest_checkpoint

        where = ["--work-dir", str(run.folder), *(["--launcher", "pytorch"] if self.processes > 1 else [])]
        options = ["--cfg-options", *run.options] if run.options else []
        with open(run.folder / LOG, "ab") as log:
            code = self._call(["train", run.config, *where, "--resume", *run.arguments, *options], log, lock)
            if code:
                return f"training ended with exit code {code}"
            checkpoint = latest_checkpoint(run.folder)
            if checkpoint is None:
                return "training left no checkpoint (default_hooks.checkpoint)"
            code = self._call(
                [
                    "test",
                    run.config,
                    str(checkpoint),
                    *where,
                    "--out",
                    str(run.folder / RESULT),
                    "--detections",
                    str(run.folder / DETECTIONS),
                    *options,
                ],
                log,
                lock,
            )
        return f"the test ended with exit code {code}" if code else None

    def _second_test(self, run: SweepRun, lock: int) -> str | None:
        """Test the final checkpoint on the second images, where there are any. Returns None, or what went wrong."""
        from ..weights.kept_checkpoints import latest_checkpoint

        if not run.second_test:
            return None
        checkpoint = latest_checkpoint(run.folder)
        if checkpoint is None:
            return "the checkpoint for the second test is gone"
        with open(run.folder / LOG, "ab") as log:
            code = self._call(
                [
                    "test",
                    run.config,
                    str(checkpoint),
                    "--work-dir",
                    str(run.folder),
                    *(["--launcher", "pytorch"] if self.processes > 1 else []),
                    "--out",
                    str(run.folder / SECOND_RESULT),
                    "--cfg-options",
                    *run.options,
                    *run.second_test,
                ],
                log,
                lock,
            )
        return f"the second test ended with exit code {code}" if code else None

    def _call(self, arguments: list[str], log, lock: int) -> int:
        launch = [sys.executable, "-m", "frozen_det.cli"]
        if self.processes > 1:
            launch = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node",
                str(self.processes),
                *launch[1:],
            ]
        log.write(f"$ {' '.join(launch + arguments)}\n".encode())
        log.flush()
        # A group of its own: torchrun and data workers end with it. It holds the lock too, should it outlive this
        # process.
        child = subprocess.Popen(
            launch + arguments,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
        )
        with self._lock:
            self._children.add(child)
        if self._stopped:
            _end(child)
        code = child.wait()
        with self._lock:
            self._children.discard(child)
        return code

    def _count(self, place: str, run: SweepRun, seconds: float, fault: str | None) -> None:
        with self._lock:
            self._left -= run.weight
            if fault is None:
                self._spent += seconds
                self._worked += run.weight
                self.result.done.append(run.folder)
            else:
                self.result.failed.append((run, fault))
            left = self._spent / self._worked * self._left / self.jobs if self._worked else None
        rest = "" if not left else f", about {_minutes(left)} left"
        if fault is None:
            self.say(f"{place}: {seconds:.0f} s, {_score(run)}{rest}")
        elif not self._stopped:
            self.say(f"{place}: FAILED after {seconds:.0f} s, {fault}; see {run.folder / LOG}{rest}")

    def _stop(self) -> None:
        self._stopped = True
        with self._lock:
            for child in self._children:
                _end(child)


def _end(child: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in this moment
        os.killpg(child.pid, signal.SIGTERM)


def _taken(lock) -> bool:
    """Whether this process got the lock; always where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _second_is_done(run: SweepRun, memory: dict) -> bool:
    """Whether no second test is wanted, or one with the same options has its result."""
    return not run.second_test or (
        memory.get("second_test") == run.second_test and (run.folder / SECOND_RESULT).is_file()
    )


def _changed(before: str | None, now: str) -> list[str]:
    """Top-level keys in which two settings differ."""
    old, new = json.loads(before or "{}"), json.loads(now)
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)) if old else []


def _remember(folder: Path, memory: dict) -> None:
    with replacing(folder / MEMORY) as partial:
        partial.write_text(json.dumps(memory, indent=1), encoding="utf-8")


def _score(run: SweepRun) -> str:
    """The headline number of the test in words."""
    metrics = json.loads((run.folder / RESULT).read_text(encoding="utf-8"))
    name = headline(metrics, run.save_best)
    return "no number" if name is None else f"{metric_word(name)} {metrics[name]:.3f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def settings_text(cfg) -> str:
    """The resolved config as text, without what does not make it another run."""
    kept = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_SETTINGS}
    return json.dumps(kept, sort_keys=True, default=repr)
