"""Several processes of one command: how they find each other, and who decides.

A training divides its images by itself. A command that is more than one training (a loop, a tuning) joins its processes
first (:func:`joined`): the first one decides what is to be done (:func:`by_first`) and writes, all of them train, label
and measure.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from mmengine.dist import broadcast_object_list, is_main_process

from ...errors import InputError

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
# How long processes wait for the first, which hashes and selects alone; one that is gone is noticed at once.
_WAIT_S = 4 * 3600

Found = TypeVar("Found")


def set_launcher(cfg, launcher: str, log: Callable[[str], None] = print) -> None:
    """How the processes were started; without a GPU they talk by gloo, where the config says nccl.

    Args:
        cfg: of a run; `launcher` is set, and without a GPU what the host needs to be told.
        launcher: of :data:`LAUNCHERS`.
        log: takes each line of progress.

    Raises:
        InputError: another launcher, or a timeout that is no number of seconds.
    """
    import torch

    if launcher not in LAUNCHERS:
        raise InputError(f"expected a launcher of {', '.join(LAUNCHERS)}, got {launcher!r}.")
    cfg.launcher = launcher
    talk = (cfg.get("env_cfg") or {}).get("dist_cfg") or {}
    if launcher == "none" or torch.cuda.is_available():
        return
    if talk.get("backend", "nccl") == "nccl":
        cfg.env_cfg = {**(cfg.get("env_cfg") or {}), "dist_cfg": {**talk, "backend": "gloo"}}
    if cfg.pop("sync_bn", None) is not None:
        log(
            "sync_bn is left out: torch synchronises norms on GPUs only. Norms that train see their own process's "
            "batch; frozen_det.NormStatisticsHook averages their running statistics at the end of each epoch."
        )
    if launcher == "pytorch":
        require_torchrun()
        # The host would set a CUDA device first, and name one to the wrapper; neither is there.
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=_seconds(talk.get("timeout")))
        cfg.setdefault(
            "model_wrapper_cfg", dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
        )


@contextmanager
def joined(launcher: str) -> Iterator[None]:
    """Within it the processes of a command of several stages are one group.

    Args:
        launcher: ``none`` or ``pytorch``.

    Raises:
        InputError: the process was not started by torchrun or as one of it.
    """
    import torch

    if launcher != "none" and not torch.distributed.is_initialized():
        require_torchrun()
        if torch.cuda.is_available():
            from mmengine.dist import init_dist

            init_dist(launcher, backend="nccl", timeout=_WAIT_S)
        else:
            torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=_WAIT_S))
    yield
    if launcher != "none":
        torch.distributed.destroy_process_group()


def require_torchrun() -> None:
    """Refuse a process without the variables of torchrun, for whose others torch would wait or fail at length.

    Raises:
        InputError: one of them is missing or no number, or the rank is none of the processes'.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    given = {name: os.environ.get(name, "") for name in names}
    rank, count, _, port = given.values()
    numbers = all(value.isascii() and value.isdigit() for value in (rank, count, port))
    if not (numbers and given["MASTER_ADDR"] and int(rank) < int(count)):
        shown = ", ".join(f"{name}={value}" for name, value in given.items())
        raise InputError(
            f"expected a process of torchrun, with RANK below WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the "
            f"environment, got {shown}: start it as torchrun --nproc-per-node N -m frozen_det.cli ... --launcher "
            "pytorch, or leave --launcher out."
        )


def by_first(decide: Callable[[], Found]) -> Found:
    """What the first process finds, given to all of them; nobody continues before it has."""
    found = [decide() if is_main_process() else None]
    broadcast_object_list(found)
    return found[0]


def first_logs(log: Callable[[str], None]) -> Callable[[str], None]:
    """A log in the first process, nothing in the others."""
    return log if is_main_process() else lambda line: None


def _seconds(timeout) -> timedelta | None:
    if timeout is None:
        return None  # torch's own, half an hour
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise InputError(f"expected env_cfg.dist_cfg.timeout in seconds, above 0, got {timeout!r}.")
    return timedelta(seconds=timeout)
