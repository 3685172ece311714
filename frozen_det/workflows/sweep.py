"""Configs x fractions x seeds, each a run of its own processes: train, test, and at the end one report over all.

A finished run with the same settings is not repeated, a half one continues from its newest checkpoint, one with other
settings is moved aside. A run that fails is counted and named; the others go on.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..engine.runner.run_lock import InUseError, RunLock
from ..errors import InputError
from ..host.processes import ONE_HEAP
from ..reports.run_record import headline, metric_word
from ..weights.atomic_write import write_json
from .sweep_runs import BegunRun, SweepResult, SweepRun, alike, with_checkpoint

MEMORY = "sweep.json"
LOG = "sweep.log"
RESULT = "test.json"
SECOND_RESULT = "second_test.json"
OUTCOMES = "together.json"
DETECTIONS = "detections/test"


class Sweep:
    """Runs a list of :class:`SweepRun`.

    Args:
        runs: in the order in which they start.
        jobs: how many at a time.
        processes: of each run, started by torchrun; 1 starts none.
        together: train and test runs on the same backbone and data in one process, on one pass of both.
        log: takes a line for the terminal.
    """

    def __init__(
        self,
        runs: list[SweepRun],
        jobs: int = 1,
        processes: int = 1,
        log: Callable[[str], None] = print,
        together: bool = False,
    ):
        if jobs < 1 or processes < 1:
            raise InputError(f"expected at least 1 as --jobs and --nproc, got {jobs} and {processes}.")
        if together and processes > 1:
            raise InputError(f"expected one process of each run with --together, got --nproc {processes}.")
        numbered = list(enumerate(runs, 1))
        self.units = alike(numbered) if together else [[one] for one in numbered]
        self.runs, self.jobs, self.processes, self.log = runs, jobs, processes, log
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
                futures = [pool.submit(self._guarded, unit) for unit in self.units]
                try:
                    for future in futures:
                        future.result()
                except BaseException as error:
                    self._stop()
                    error.on_disk = (  # type: ignore[attr-defined]
                        f"{len(self.result.done)} of {len(self.runs)} runs are finished; the same command "
                        "continues with the rest."
                    )
                    raise
        finally:
            if ours:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return self.result

    # -- one run ----------------------------------------------------------------------------------------------------

    def _guarded(self, unit: list[tuple[int, SweepRun]]) -> None:
        """Runs under a lock on the folder of each, so that two sweeps of one folder share the work."""
        if self._stopped:
            return
        with contextlib.ExitStack() as locks:
            taken = []
            for number, run in unit:
                run.folder.mkdir(parents=True, exist_ok=True)
                place = f"[{number}/{len(self.runs)}] {run.title}"
                try:
                    # Beside the folder: the folder itself may be moved aside.
                    locks.enter_context(RunLock(run.folder.parent, f".{run.folder.name}.lock"))
                    RunLock(run.folder).release()  # a training may outlive its sweep
                except InUseError:
                    self.log(f"{place}: left to another process that works in {run.folder}")
                    with self._lock:
                        self._left -= run.weight
                else:
                    taken.append(BegunRun(place, run))
            self._work([one for one in taken if not self._was_done(one)])

    def _was_done(self, one: "BegunRun") -> bool:
        """Read what is known of a run. Counts it, and returns True, if nothing of it is left to do."""
        one.memory = self._memory(one.place, one.run)
        one.is_tested = bool(one.memory.get("finished")) and (one.run.folder / RESULT).is_file()
        if not (one.is_tested and _second_is_done(one.run, one.memory)):
            return False
        with self._lock:
            self._left -= one.run.weight
            self.result.reused += 1
            self.result.done.append(one.run.folder)
        self.log(f"{one.place}: finished before, took {one.memory.get('seconds', 0):.0f} s, {_score(one.run)}")
        return True

    def _work(self, unit: list["BegunRun"]) -> None:
        start = time.perf_counter()
        for one in unit:
            self.log(f"{one.place}: started, log in {one.run.folder / LOG}")
        fresh = [one for one in unit if not one.is_tested]
        if len(fresh) > 1:
            found = self._train_and_test_together(fresh)
        else:
            found = [self._train_and_test(one.run) for one in fresh]
        faults = {one.place: fault for one, fault in zip(fresh, found)}
        spent = (time.perf_counter() - start) / max(len(fresh), 1)
        for one in unit:
            start = time.perf_counter()
            fault = faults.get(one.place) or self._second_test(one.run)
            seconds = time.perf_counter() - start + (spent if one.place in faults else 0.0)
            one.memory["seconds"] = round(one.memory.get("seconds", 0.0) + seconds, 1)
            one.memory["finished"] = one.is_tested or fault is None
            one.memory["second_test"] = one.run.second_test if fault is None else None
            _remember(one.run.folder, one.memory)
            self._count(one.place, one.run, seconds, fault)

    def _memory(self, place: str, run: SweepRun) -> dict:
        """What is known of the run; a folder with other settings is moved aside first."""
        path = run.folder / MEMORY
        memory = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if memory.get("digest") not in (None, run.digest) or (not memory and any(run.folder.iterdir())):
            aside = run.folder.with_name(f"{run.folder.name}.previous-{time.strftime('%Y%m%d-%H%M%S')}")
            run.folder.rename(aside)
            run.folder.mkdir()
            changed = ", ".join(_changed(memory.get("settings"), run.settings)) or "unknown before"
            self.log(f"{place}: the settings changed ({changed}); the old run was moved to {aside}")
            memory = {}
        if not memory:
            memory = {"digest": run.digest, "settings": run.settings, "finished": False}
            _remember(run.folder, memory)
        return memory

    def _where(self, run: SweepRun) -> list[str]:
        return ["--work-dir", str(run.folder), *(["--launcher", "pytorch"] if self.processes > 1 else [])]

    def _commands(self, run: SweepRun) -> tuple[list[str], list[str]]:
        """Arguments that train, and that test; the checkpoint follows the test's second."""
        where = self._where(run)
        options = ["--cfg-options", *run.options] if run.options else []
        kept = ["--out", str(run.folder / RESULT), "--detections", str(run.folder / DETECTIONS)]
        return (
            ["train", run.config, *where, "--resume", "--no-report", *run.arguments, *options],
            ["test", run.config, *where, *kept, *options],
        )

    def _train_and_test(self, run: SweepRun) -> str | None:
        """Run both commands. Returns None, or what went wrong as text."""
        train, test = self._commands(run)
        with open(run.folder / LOG, "ab") as log:
            code = self._call(train, log)
            if code:
                return f"training ended with exit code {code}"
            try:
                test = with_checkpoint(test, run.folder)
            except InputError as error:
                return str(error)
            code = self._call(test, log)
        return f"the test ended with exit code {code}" if code else None

    def _train_and_test_together(self, unit: list["BegunRun"]) -> list[str | None]:
        """The same for runs that share a process; one that fails leaves the others."""
        first = unit[0].run.folder
        folder = first.with_name(f".{first.name}.together")
        folder.mkdir(exist_ok=True)
        (folder / OUTCOMES).unlink(missing_ok=True)
        members = []
        for one in unit:
            train, test = self._commands(one.run)
            where = str(one.run.folder)
            members.append(dict(name=where, folder=where, log=str(one.run.folder / LOG), train=train, test=test))
        plan = folder / "members.json"
        plan.write_text(json.dumps(members), encoding="utf-8")
        with open(folder / LOG, "ab") as log:
            code = self._call([str(plan)], log, "frozen_det.cli.processes.together", ONE_HEAP)
        if not (folder / OUTCOMES).is_file():
            return [f"the shared process ended with exit code {code}; see {folder / LOG}"] * len(unit)
        told = json.loads((folder / OUTCOMES).read_text(encoding="utf-8"))
        return [told[str(one.run.folder)] for one in unit]

    def _second_test(self, run: SweepRun) -> str | None:
        """Test the final checkpoint on the second images, where there are any. Returns None, or what went wrong."""
        from ..weights.kept_checkpoints import latest_checkpoint

        if not run.second_test:
            return None
        checkpoint = latest_checkpoint(run.folder)
        if checkpoint is None:
            return "the checkpoint for the second test is gone"
        with open(run.folder / LOG, "ab") as log:
            out = ["--out", str(run.folder / SECOND_RESULT), "--cfg-options", *run.options, *run.second_test]
            code = self._call(["test", run.config, str(checkpoint), *self._where(run), *out], log)
        return f"the second test ended with exit code {code}" if code else None

    def _call(self, arguments: list[str], log, module: str = "frozen_det.cli", env: Mapping | None = None) -> int:
        launch = [sys.executable, "-m", module]
        if self.processes > 1:
            torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
            launch = [sys.executable, "-m", *torchrun, *launch[1:]]
        log.write(f"$ {' '.join(launch + arguments)}\n".encode())
        log.flush()
        # A group of its own: torchrun and data workers end with it.
        child = subprocess.Popen(
            launch + arguments,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**(env or {}), **os.environ, "OMP_NUM_THREADS": str(self.threads)},
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
        # Weights are floats: when nothing is left their sum is only about zero.
        rest = "" if left is None or left < 0.5 else f", about {_minutes(left)} left"
        if fault is None:
            self.log(f"{place}: {seconds:.0f} s, {_score(run)}{rest}")
        elif not self._stopped:
            self.log(f"{place}: FAILED after {seconds:.0f} s, {fault}; see {run.folder / LOG}{rest}")

    def _stop(self) -> None:
        self._stopped = True
        with self._lock:
            for child in self._children:
                _end(child)


def _end(child: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself in this moment
        os.killpg(child.pid, signal.SIGTERM)


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
    write_json(folder / MEMORY, memory)


def _score(run: SweepRun) -> str:
    """The headline number of the test as text."""
    metrics = json.loads((run.folder / RESULT).read_text(encoding="utf-8"))
    name = headline(metrics, run.save_best)
    return "no number" if name is None else f"{metric_word(name)} {metrics[name]:.3f}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
