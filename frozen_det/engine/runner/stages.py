"""Pipeline stages, each run once: reused while settings, inputs and outputs stay the same.

What a stage read is recorded as SHA-256 of its settings and of its input files, what it wrote as SHA-256 of its output
files. Anything that differs makes the stage run again, and with it only those later ones whose inputs
then differ. A stage that was interrupted under the same settings and inputs may continue where it stopped.

Of several processes (:mod:`.processes`) the first decides and keeps the record; all do the work, and none goes on
before all have ended it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.dist import barrier, is_main_process

from ...errors import InputError
from ...weights.atomic_write import write_json
from .processes import by_first, first_logs
from .run_lock import RunLock


@dataclass
class Stage:
    """One stage while it runs.

    Attributes:
        name: of the stage.
        todo: whether its work has to be done, by this process.
        goes_on: whether it was begun before with the same settings and inputs, and did not end.
        outputs: files it wrote; set by the work, compared the next time.
        large: more files it wrote, too large to be read again each time: of these only the sizes are looked at.
    """

    name: str
    todo: bool
    goes_on: bool
    outputs: Sequence[Path] = field(default_factory=tuple)
    large: Sequence[Path] = field(default_factory=tuple)


class Stages:
    """The record of a work directory's stages.

    Args:
        work_dir: where the record is, and what relative names in it refer to.
        memory: name of the record's file.
        times: file for names and seconds of the stages, as reports read them; by default ``stages.json`` in `work_dir`.
        log: takes each line of progress.
    """

    def __init__(self, work_dir, memory: str = "chain.json", times=None, log: Callable[[str], None] = print):
        self.work_dir = Path(work_dir)
        self._lock = RunLock(self.work_dir) if is_main_process() else None  # as long as this record is in use
        self.memory, self.times = self.work_dir / memory, Path(times or self.work_dir / "stages.json")
        self.log = first_logs(log)
        self.done: dict[str, dict] = self._read()

    @contextmanager
    def __call__(
        self, name: str, settings="", inputs: Iterable = (), always: bool = False, alone: bool = False
    ) -> Iterator[Stage]:
        """Begin a stage; what runs inside does the work if ``stage.todo`` and names its files in ``stage.outputs``.

        Args:
            name: of the stage; the same name later means the same stage.
            settings: text, or what JSON can hold; a path of `work_dir` in it does not count.
            inputs: files the stage reads.
            always: do the work each time.
            alone: the work is the first process's, and the others wait for it.

        Raises:
            InputError: an input that does not exist.
        """
        stage = by_first(lambda: self._decided(name, self._key(settings, inputs), always))
        if not stage.todo:
            yield stage
            return
        if not is_main_process():
            stage.todo = not alone
            with _resumable(name):
                yield stage
                barrier()
            return
        spent, start, ended = self.done[name]["seconds"], time.perf_counter(), False
        try:
            with _resumable(name):
                yield stage
                barrier()
            ended = True
        finally:
            entry = self.done[name]
            entry["seconds"] = round(spent + time.perf_counter() - start, 1)
            if ended:
                entry.update(
                    state="done",
                    outputs={
                        **{self._short(path): file_digest(path) for path in stage.outputs},
                        **{self._short(path): _size_mark(path) for path in stage.large},
                    },
                )
            self._write()
        self.log(f"[{name}] {entry['seconds']:.0f} s")

    def _decided(self, name: str, key: str, always: bool) -> Stage:
        """The stage, and the record that it has begun if there is work to do."""
        known = self.done.get(name, {})
        same = known.get("key") == key
        reused = same and known["state"] == "done" and self._whole(known["outputs"])
        stage = Stage(name, always or not reused, same and known["state"] == "begun")
        if stage.todo:
            self.log(f"[{name}] {'goes on' if stage.goes_on else '...'}")
            spent = known.get("seconds", 0.0) if stage.goes_on else 0.0
            self.done[name] = dict(key=key, state="begun", seconds=spent, outputs={})
            self._write()
        else:
            outputs = {self.work_dir / path: mark for path, mark in known["outputs"].items()}
            stage.outputs = tuple(path for path, mark in outputs.items() if not _is_size(mark))
            stage.large = tuple(path for path, mark in outputs.items() if _is_size(mark))
            self.log(f"[{name}] reused (took {known['seconds']:.0f} s the first time)")
        return stage

    def _key(self, settings, inputs: Iterable) -> str:
        text = settings if isinstance(settings, str) else json.dumps(settings, sort_keys=True, default=str)
        files = [(self._short(path), file_digest(path)) for path in inputs]
        return hashlib.sha256(json.dumps([text.replace(str(self.work_dir), "WORK_DIR"), files]).encode()).hexdigest()

    def _whole(self, outputs: dict[str, str]) -> bool:
        """Whether every output is there with the bytes that were written, or for large ones as many."""
        paths = {self.work_dir / name: mark for name, mark in outputs.items()}
        return all(
            path.is_file() and (_size_mark if _is_size(mark) else file_digest)(path) == mark
            for path, mark in paths.items()
        )

    def _short(self, path) -> str:
        """The path as seen from the work directory, so that the whole of it may be moved."""
        path = Path(path)
        inside = path.resolve().is_relative_to(self.work_dir.resolve())
        return str(path.resolve().relative_to(self.work_dir.resolve())) if inside else str(path.resolve())

    def _read(self) -> dict:
        """The record; one that another version wrote, or that is no record, counts as none."""
        try:
            found = json.loads(self.memory.read_text(encoding="utf-8")).get("stages")
        except (OSError, ValueError, AttributeError):
            return {}
        needed = {"key", "state", "seconds", "outputs"}
        return found if isinstance(found, dict) and all(needed <= set(one) for one in found.values()) else {}

    def _write(self) -> None:
        write_json(self.memory, {"stages": self.done})
        times = [dict(name=name, seconds=one["seconds"]) for name, one in self.done.items() if one["state"] == "done"]
        write_json(self.times, times, indent=None)


@contextmanager
def _resumable(name: str) -> Iterator[None]:
    """An exception that ends a stage says where the same command goes on."""
    try:
        yield
    except BaseException as error:
        error.on_disk = getattr(error, "on_disk", f"Stopped in the stage {name!r}; the same command resumes there.")
        raise


def file_digest(path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected the file {path}, which a stage reads or writes, but it does not exist.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _by_parts(file)


def _size_mark(path) -> str:
    return f"size:{Path(path).stat().st_size}"


def _is_size(mark: str) -> bool:
    return mark.startswith("size:")


def _by_parts(file) -> str:
    """Python 3.10 has no `hashlib.file_digest`."""
    taken = hashlib.sha256()
    while part := file.read(1 << 20):
        taken.update(part)
    return taken.hexdigest()


def set_aside(paths: Iterable, folder, log: Callable[[str], None] = print) -> Path | None:
    """Move what an earlier stage left to ``folder/previous-DATE``: nothing of it is overwritten or mistaken for new.

    Returns:
        where to, or None if there was nothing.
    """
    paths = [Path(path) for path in paths if Path(path).exists()]
    if not paths:
        return None
    stamp, number = time.strftime("%Y%m%d-%H%M%S"), 0
    while (aside := Path(folder) / f"previous-{stamp}{f'-{number}' if number else ''}").exists():
        number += 1
    aside.mkdir(parents=True)
    for path in paths:
        path.rename(aside / path.name)
    log(f"settings or inputs changed: {len(paths)} of the earlier results moved to {aside}")
    return aside
