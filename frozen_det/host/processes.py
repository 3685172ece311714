"""Whether the process that wrote a file still runs (ids are reused, so its start time counts too); one heap for all.

A process id says something only where it was given: in one process namespace of one boot of one machine
(:func:`process_place`). Containers number theirs from 1, and may have the same host name.

Refuses commands that torchrun starts several times and that know nothing of each other.
"""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

from ..errors import InputError

# For a process whose threads take turns: glibc's heap for each thread would keep what another could use.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


def is_alive(pid: int, written_at: float) -> bool:
    """Whether the process that wrote something on this machine still runs.

    Args:
        pid: its number.
        written_at: when it wrote, in seconds since the epoch. A process that began later took over the number.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    except (OSError, OverflowError):
        return False
    begun = _begun(pid)
    return begun is None or begun <= written_at + 1


def process_place() -> str:
    """Where this process's id is valid: 8 hex digits of the host's name, its boot and its process namespace (the
    latter two are Linux's and left out elsewhere)."""
    text = "\0".join((socket.gethostname(), _boot_id(), _process_namespace()))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def process_rank() -> int:
    """Number of this process among those of torchrun or Slurm, from 0; 0 without them."""
    given = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    return int(given) if given.isascii() and given.isdigit() else 0


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _process_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _begun(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where the system does not report it (/proc is Linux's)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        ticks = int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    booted = _booted()
    return None if booted is None else booted + ticks / os.sysconf("SC_CLK_TCK")


@cache
def _booted() -> float | None:
    try:
        lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("btime ")).split()[1])
    except (OSError, StopIteration, ValueError):
        return None


def started_by_torchrun() -> int:
    """Number of processes that torchrun started, of which this is one; 1 if it started none or this one alone."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def refuse_several(command: str, launcher: str | None) -> None:
    """Refuse to run as one of several processes that do not know of each other.

    Args:
        command: as typed, for the message.
        launcher: how the processes were started, as the command was told; None for a command that takes no launcher.

    Raises:
        InputError: torchrun started several processes and the command was not told.
    """
    count = started_by_torchrun()
    if count > 1 and launcher in (None, "none"):
        remedy = "start it without torchrun" if launcher is None else "add --launcher pytorch"
        raise InputError(
            f"expected one process of {command}, got {count} of torchrun, each of which would do the whole work in the "
            f"same folder; {remedy}."
        )
