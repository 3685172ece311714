"""Which checkpoint of a work directory is the newest, and which one a run may continue from.

Checkpoints are counted by their number, never by their date: a copied or touched file is no newer for it. One that is
not whole is refused with the name of the next that is; what dead writers left half written is removed.
"""

import re
from pathlib import Path

from ..errors import InputError
from ..host.processes import is_alive
from .atomic_write import is_leftover
from .loading import read

POINTER = "last_checkpoint"
# A partial file of the frozen proof, as earlier versions wrote it.
_OLD_PARTIAL = re.compile(r"^frozen_proof\.(?P<pid>\d+)\.tmp$")


def latest_checkpoint(work_dir) -> Path | None:
    """The checkpoint with the highest number in a work directory, or None.

    Names are the host's, ``epoch_N.pth`` and ``iter_N.pth``, and those of its own template (`filename_tmpl`,
    `out_dir`) that a run's ``last_checkpoint`` names.
    """
    found = numbered_checkpoints(work_dir)
    return found[0] if found else None


def numbered_checkpoints(work_dir) -> list[Path]:
    """Numbered checkpoints of a work directory, the newest first."""
    work_dir = Path(work_dir)
    pointed = _pointed(work_dir)
    stems = {"epoch_", "iter_"} | ({_split(pointed)[0]} if pointed else set())
    found = _numbered(work_dir, stems)
    # With `out_dir` the checkpoints are elsewhere; another work directory has a pointer of its own.
    if not found and pointed and not (pointed.parent / POINTER).exists():
        found = _numbered(pointed.parent, stems)
    if len({stem for stem, _, _ in found}) > 1:
        found = [(*one, _iteration(one[2])) for one in found]
        return [one[2] for one in sorted(found, key=lambda one: (one[3], one[1]), reverse=True)]
    return [path for _, _, path in sorted(found, key=lambda one: one[1], reverse=True)]


def checkpoint_to_resume(work_dir, wanted: str | None = None) -> Path | None:
    """The checkpoint that a run continues from.

    Args:
        work_dir: of the run.
        wanted: a checkpoint, or a folder whose newest is taken; None takes the newest of `work_dir`.

    Returns:
        its path; None if `work_dir` never had one.

    Raises:
        InputError: nothing where something is named, a broken file, or one that no run can continue from.
    """
    folder = Path(work_dir if wanted is None else wanted)
    if wanted is not None:
        require_exists(folder)
    if wanted is not None and not folder.is_dir():
        require_whole(folder)
        return folder
    path = latest_checkpoint(folder)
    if path is not None:
        require_whole(path, numbered_checkpoints(folder)[1:])
        return path
    if wanted is not None:
        raise InputError(f"expected a checkpoint epoch_N.pth or iter_N.pth in {folder} to resume from, found none.")
    _refuse_traces(folder)
    return None


def require_exists(wanted) -> None:
    """Refuse a checkpoint or folder to resume from that is not there.

    Raises:
        InputError: it does not exist.
    """
    if not Path(wanted).exists():
        raise InputError(f"expected a checkpoint to resume from, but {wanted} does not exist.")


def require_whole(path: Path, others=()) -> None:
    """Read a checkpoint to its last byte.

    Args:
        path: the file.
        others: older ones, the newest first, to name where this one is broken.

    Raises:
        InputError: it is broken.
    """
    fault = _fault(path)
    if fault is None:
        return
    good = next((other for other in others if _fault(other) is None), None)
    remedy = (
        f"The next whole one is {good}: --resume {good}" if good else "There is no other whole one: start a new run"
    )
    raise InputError(
        f"expected a whole checkpoint to resume from, got {path}, which is broken: {fault} {remedy}, "
        "and move the broken file away."
    )


def best_checkpoint(work_dir) -> Path | None:
    """The best checkpoint that was written last; None if a run kept none."""
    return max(Path(work_dir).glob("best_*.pth"), key=lambda path: path.stat().st_mtime_ns, default=None)


def has_checkpoints(work_dir) -> list[Path]:
    """Checkpoints of an earlier run in a work directory: numbered and best ones."""
    return [*numbered_checkpoints(work_dir), *sorted(Path(work_dir).glob("best_*.pth"))]


def remove_leftovers(work_dir) -> list[Path]:
    """Remove what writers that are gone left half written; returns the paths. What a living process writes stays."""
    removed = []
    for path in sorted(Path(work_dir).glob("*")):
        old = _OLD_PARTIAL.match(path.name)
        gone = is_leftover(path) or (old and not is_alive(int(old["pid"]), path.stat().st_mtime))
        if gone and path.is_file():
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint file, as text; None if every number in it can be read and has its check sum."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


def _refuse_traces(folder: Path) -> None:
    """Refuse a folder that had checkpoints of which none can be gone on from."""
    pointed, best = _pointed(folder), sorted(folder.glob("best_*.pth"))
    if pointed is None and not best:
        return
    what = f"there is only {best[-1].name}" if best else ""
    if pointed:
        what = f"{POINTER} names {pointed}, which is not {'in this folder' if pointed.exists() else 'there'}"
    raise InputError(
        f"expected a checkpoint epoch_N.pth or iter_N.pth in {folder} to resume from, but {what}. A best "
        "checkpoint has no optimiser's state: a new run begins from it with --cfg-options "
        "load_from=FILE and another --work-dir."
    )


def _numbered(folder: Path, stems: set[str]) -> list[tuple[str, int, Path]]:
    """(stem, number, path) of every file whose name is one of the stems and a number."""
    found = []
    for path in folder.glob("*.pth") if folder.is_dir() else ():
        stem, number = _split(path)
        # A link to a file that is gone is a checkpoint that is broken, no checkpoint that never was.
        if stem in stems and number is not None and (path.is_file() or path.is_symlink() and not path.exists()):
            found.append((stem, number, path))
    return found


def _split(path: Path) -> tuple[str, int | None]:
    """``epoch_12.pth`` as ``("epoch_", 12)``."""
    stem = path.stem.rstrip("0123456789")
    number = path.stem[len(stem) :]
    return stem, int(number) if number else None


def _pointed(work_dir: Path) -> Path | None:
    """What the host's ``last_checkpoint`` names, whether it is there or not; None where it names nothing."""
    try:
        text = (work_dir / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text else None


def _iteration(path: Path) -> int:
    """The iteration that a checkpoint was written at; -1 if unknown."""
    try:
        return int((read(path).get("meta") or {}).get("iter", -1))
    except (InputError, AttributeError, TypeError, ValueError):
        return -1
