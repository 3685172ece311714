"""The schedule of a resumed run whose config gives it another one: rebuilt, and stepped to the current iteration.

A checkpoint holds the states of its schedulers, and the host puts them in the place of the new ones: a run made longer
would stay at the rate where the short one had ended. Replayed, the rate at step n is that of a run which had the new
schedule from its first step. A schedule that follows a metric cannot be replayed, and is refused.
"""

import copy
import warnings

from ...errors import InputError


def replay_schedule(runner) -> list[float]:
    """Build the schedulers of the config again and step them up to ``runner.iter``.

    Args:
        runner: resumed, before training begins; optimiser and schedulers are changed in place.

    Returns:
        the learning rate of every group of the optimiser.

    Raises:
        InputError: several optimisers, or a scheduler that needs a metric.
    """
    wanted = copy.deepcopy(runner.cfg.get("param_scheduler"))
    optimizer = getattr(runner.optim_wrapper, "optimizer", None)
    if optimizer is None or isinstance(runner.param_schedulers, dict):
        raise InputError(
            "expected one optimiser in optim_wrapper to resume with another param_scheduler, got several. "
            "Put param_scheduler back."
        )
    for scheduler in runner.param_schedulers or []:
        for group in optimizer.param_groups:
            group[scheduler.param_name] = group.get(f"initial_{scheduler.param_name}", group.get(scheduler.param_name))
    with warnings.catch_warnings():
        # Steps without the optimiser's, which torch and mmengine warn of, are the purpose here.
        warnings.simplefilter("ignore")
        schedulers = runner.build_param_scheduler(wanted) if wanted else []
        if any(getattr(one, "need_val_args", False) for one in schedulers):
            raise InputError(
                "expected a param_scheduler that counts steps or epochs to resume with another one, got "
                "one that follows a metric. Put param_scheduler back."
            )
        _lead(schedulers, runner.iter, runner.epoch, len(runner.train_dataloader) if runner.epoch else 0)
    runner.param_schedulers = schedulers
    return [group["lr"] for group in optimizer.param_groups]


def _lead(schedulers: list, iterations: int, epochs: int, steps_of_epoch: int) -> None:
    """Step as training does: those that count iterations after each, those that count epochs at the end of each."""
    for done in range(1, iterations + 1):
        for scheduler in schedulers:
            if not scheduler.by_epoch:
                scheduler.step()
        if steps_of_epoch and done % steps_of_epoch == 0 and done // steps_of_epoch <= epochs:
            for scheduler in schedulers:
                if scheduler.by_epoch:
                    scheduler.step()
