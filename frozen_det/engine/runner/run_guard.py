"""Checks around every training: one run in a work directory, and a resumed run that is the same run.

`frozen_det.LeanCheckpointHook` brings it to runs of any program, :func:`.runs.new_runner` to configs without that hook.
"""

from mmengine.hooks import Hook
from mmengine.runner.base_loop import BaseLoop

from ...errors import InputError
from ...weights.kept_checkpoints import has_checkpoints, remove_leftovers
from .replayed_schedule import replay_schedule
from .resuming import check_fits_run, check_resumable
from .run_lock import RunLock


class RunGuard(Hook):
    """Locks the work directory while a run trains, and checks what it resumes from.

    Raises:
        InputError: another run has the folder, or the checkpoint is of another run.
    """

    priority = "VERY_LOW"

    def __init__(self):
        self._lock: RunLock | None = None
        self._other_schedule = self._resumed = False

    def before_run(self, runner) -> None:
        """Take the folder, and clear away what writers that died left half written."""
        if not is_training(runner) or runner.rank != 0:
            return
        self._lock = RunLock(runner.work_dir)
        for path in remove_leftovers(runner.work_dir):
            runner.logger.info(f"removed {path}, which a process that is gone left half written")

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to continue with another run; list what differs."""
        if not is_training(runner) or not runner._resume:
            return
        self._resumed = True
        where = str(runner._load_from or runner.work_dir)
        changed = check_resumable(checkpoint, runner.cfg, where)
        changed += check_fits_run(checkpoint, runner, where)
        self._other_schedule = any(line.startswith("param_scheduler") for line in changed)
        for line in changed:
            runner.logger.warning(f"resumed run, from here on {line}")

    def before_train(self, runner) -> None:
        """Give a resumed run the schedule of its config, and say when nothing is left to do."""
        if not self._resumed:
            return
        by_epoch = hasattr(runner.train_loop, "run_epoch")
        at, end, unit = (
            (runner.epoch, runner.max_epochs, "epochs") if by_epoch else (runner.iter, runner.max_iters, "iters")
        )
        if at > end:
            raise InputError(
                f"expected train_cfg.max_{unit} of at least {at}, where {runner._load_from} stands, to "
                f"resume from it, got {end}. Raise it, or resume from an earlier checkpoint."
            )
        if at == end:
            runner.logger.info(
                f"the run is finished: {at} of {end} {unit}; for a longer one raise "
                f"train_cfg.max_{unit} and, with it, the end of param_scheduler"
            )
        elif self._other_schedule:
            rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(replay_schedule(runner)))
            runner.logger.warning(
                f"resumed run: the schedule is that of the config, as if from the first step on; "
                f"learning rate {rates} from iteration {runner.iter + 1}"
            )
        if by_epoch and hasattr(runner.train_dataloader.sampler, "skip"):
            within = runner.iter - runner.epoch * len(runner.train_dataloader)
            # As the host's loops by iterations do it, so that a checkpoint within an epoch is gone on from.
            runner.train_dataloader.sampler.skip(within * runner.train_dataloader.batch_size)

    def after_run(self, runner) -> None:
        """Give the folder free."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def is_training(runner) -> bool:
    """Whether the run was started to train: its training loop is built."""
    return isinstance(runner._train_loop, BaseLoop)


def refuse_used_folder(work_dir, how: str) -> None:
    """Refuse to begin a new run where an earlier one left checkpoints.

    Args:
        work_dir: of the new run.
        how: text that says what resumes the earlier one.

    Raises:
        InputError: it has checkpoints; a new run would mix its own with them.
    """
    found = has_checkpoints(work_dir)
    if found:
        raise InputError(
            f"expected a folder without checkpoints to begin a run in, but {work_dir} holds those of an "
            f"earlier one ({found[0].name}{f' and {len(found) - 1} more' if len(found) > 1 else ''}). "
            f"{how} resumes that run; for a new one use another --work-dir, or move this one away."
        )
