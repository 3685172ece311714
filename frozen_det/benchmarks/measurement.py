"""One timer for all benchmarks: calls in turns, wall and process time, median and spread, memory; tables.

Calls take turns, so that other load on the machine falls on all of them alike, and who begins changes each round.
Process time says more than wall time on a machine with other load; on a GPU it says nothing.
"""

import json
import statistics
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import InputError, closest
from ..weights.atomic_write import write_text


@dataclass
class Times:
    """What every round of one call took.

    Attributes:
        walls, cpus: wall and process seconds.
        peaks, bases: bytes allocated on a GPU, at most during the call and before it; 0 on a CPU.
    """

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)

    @property
    def wall_ms(self) -> float:
        """Median wall time."""
        return 1e3 * statistics.median(self.walls)

    @property
    def cpu_ms(self) -> float:
        """Median process time."""
        return 1e3 * statistics.median(self.cpus)

    @property
    def spread_ms(self) -> float:
        """From the lower to the upper quartile of the wall time; 0 of a single round."""
        return _quartile_range_ms(self.walls)

    @property
    def cpu_spread_ms(self) -> float:
        """The same of the process time."""
        return _quartile_range_ms(self.cpus)

    def add(self, call: Callable[[], object], gpu: torch.device | str | None = None):
        """Time a call once more; returns what it returns."""
        base = 0
        if gpu is not None:
            torch.cuda.reset_peak_memory_stats(gpu)
            torch.cuda.synchronize(gpu)
            base = torch.cuda.memory_allocated(gpu)
        wall, cpu = time.perf_counter(), time.process_time()
        found = call()
        if gpu is not None:
            torch.cuda.synchronize(gpu)
        self.walls.append(time.perf_counter() - wall)
        self.cpus.append(time.process_time() - cpu)
        self.peaks.append(0 if gpu is None else torch.cuda.max_memory_allocated(gpu))
        self.bases.append(base)
        return found


def _quartile_range_ms(seconds: list[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4)
    return 1e3 * (high - low)


def in_turns(
    calls: dict[Hashable, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    gpu: torch.device | str | None = None,
    after: Callable[[Hashable], object] = lambda name: None,
) -> dict[Hashable, Times]:
    """Time calls against each other.

    Args:
        calls: by name.
        rounds: that count.
        warm_up: rounds before them.
        gpu: to wait for, and whose memory is read; None on a CPU.
        after: called with the name after each call, not timed.
    """
    times, order = {name: Times() for name in calls}, list(calls)
    for number in range(-warm_up, rounds):
        order.append(order.pop(0))
        for name in order:
            (times[name] if number >= 0 else Times()).add(calls[name], gpu)
            after(name)
    return times


class _Held:
    """A saved tensor that can be watched: it is gone once autograd releases it."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def kept_bytes(loss: Callable[[], torch.Tensor], left_out: Iterable[torch.Tensor]) -> int:
    """Bytes that autograd keeps for the backward pass of `loss()`: distinct storages, without those of `left_out`."""
    own = {tensor.untyped_storage().data_ptr() for tensor in left_out}
    alive = weakref.WeakSet()

    def keep(tensor):
        alive.add(held := _Held(tensor))
        return held

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
        value = loss()
    kept = {storage.data_ptr(): storage.nbytes() for storage in (held.tensor.untyped_storage() for held in alive)}
    del value
    return sum(count for address, count in kept.items() if address not in own)


def peak_resident_bytes() -> int:
    """The most that this process's resident set was so far."""
    # Linux hands `ru_maxrss` of a parent down to the programs that it starts.
    found = _status_bytes("VmHWM")
    if found is not None:
        return found
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in KiB but for macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int | None:
    """The resident set now, where the system says it (Linux)."""
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int | None:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def in_fresh_process(module: str, *arguments: str, what: str, env: dict | None = None):
    """What a module prints last as JSON, run as a program of its own: its memory is its own.

    Raises:
        InputError: it fails; `what` it was to do.
    """
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise InputError(f"expected {what}, got:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# -- options and output ----------------------------------------------------------------------------------------------


def add_output(parser, json_help: str = "print one JSON list instead of a table", device: bool = True) -> None:
    """``--device`` and ``--json``."""
    if device:
        parser.add_argument("--device", default=None, help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--json", action="store_true", help=json_help)


def add_timm_backbones(parser, names: Iterable[str]) -> None:
    """``--bodies`` of timm and ``--size``."""
    names = list(names)
    text = f"names of timm models (default: {' '.join(names)})"
    parser.add_argument("--bodies", nargs="+", default=names, metavar="NAME", help=text)
    text = "image size in pixels (default 256 320)"
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), metavar=("H", "W"), help=text)


def refuse_unknown_families(only: Sequence[str] | None, known: Sequence[str], whose: str) -> None:
    """Refuse ``--only`` with a family that is not there.

    Raises:
        InputError: naming the nearest.
    """
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        raise InputError(
            f"expected --only with families of {whose}, got {unknown[0]!r}; "
            f"{closest(unknown[0], known) or f'there are {len(known)}'}"
        )


def put_out(args, rows: list[dict], text: str, written: str | None = None) -> int:
    """Print rows as JSON or the text, which ``--output`` gets too, or what is to be written. Returns the exit code."""
    if args.output:
        write_text(args.output, text + "\n" if written is None else written)
    print(json.dumps(rows, indent=1) if args.json else text)
    return 0


def require_from_one(args, *names: str) -> None:
    """Refuse options below 1.

    Raises:
        InputError: naming all of them with their values.
    """
    values = [getattr(args, name) for name in names]
    if min(values) < 1:
        options = [f"--{name.replace('_', '-')}" for name in names]
        raise InputError(f"expected {_listed(options)} from 1 on, got {_listed(map(str, values))}.")


def processor(on_gpu: bool) -> str:
    """What it was measured on."""
    return torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"


def machine(on_gpu: bool) -> str:
    """What it was measured on, with the version of torch."""
    return f"{processor(on_gpu)}, torch {torch.__version__}"


def number(value: float | None, spec: str) -> str:
    """A number of a table; "-" where there is none."""
    return "-" if value is None else format(value, spec)


def text_table(header: str, rows: Sequence[Sequence[str]], left: int) -> str:
    """A table as text, columns as wide as they must be.

    Args:
        header: of the columns, separated by ``|``.
        rows: their cells; a row with fewer of them ends in text that may be longer than a column.
        left: so many columns begin at the left, the others end at the right.
    """
    table = [header.split("|"), *rows]
    widths = [max(len(row[i]) for row in table if i < left or len(row) == len(table[0])) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in table
    )


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
