"""`frozen_det.UnfreezeHook`: from an epoch on, part of a frozen backbone trains too, in an optimiser group of its own.

The group is added at that epoch, not before: until then nothing differs from a frozen run. A checkpoint written
later says so, and resuming from it adds the group before the optimiser's state is loaded. The frozen proof checks
the base a last time, then continues with what stays frozen.
"""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop

from ...errors import InputError
from ...registry import HOOKS
from ..optimizers.parameter_groups import group_table
from .frozen_proof import FrozenProofHook

META_KEY = "unfrozen"


@HOOKS.register_module()
class UnfreezeHook(Hook):
    """Unfreeze part of a backbone at the start of an epoch.

    Args:
        epoch: counted from 0: with 3, three epochs run frozen.
        what: True for all that is frozen, or a list of name patterns in the backbone, e.g. ``['layer4.*']``.
        module: name of the ``FrozenBackbone`` in the model.
        lr_mult: the new group's learning rate, times the largest initial learning rate of the other groups. It
            starts where the schedule is by then.
        options: further options of the new group, e.g. ``weight_decay=0.05``.

    Raises:
        InputError: a negative epoch, a loop without epochs, several optimisers, or nothing to unfreeze.
    """

    def __init__(
        self,
        epoch: int,
        what: bool | Sequence[str] = True,
        module: str = "backbone",
        lr_mult: float = 0.1,
        **options,
    ):
        if epoch < 0:
            raise InputError(f"expected UnfreezeHook.epoch from 0 on, got {epoch}.")
        self.epoch, self.what, self.module = epoch, what, module
        self.lr_mult, self.options = lr_mult, options
        self.done = False

    @property
    def label(self) -> str:
        """What a checkpoint calls this step: module and patterns."""
        return f"{self.module}: {'all' if self.what is True else ' '.join(self.what)}"

    # -- the host's calls ---------------------------------------------------------------------------------------

    def before_train(self, runner) -> None:
        """Refuse runs in which the epoch would never come."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(
                "UnfreezeHook counts epochs, but train_cfg runs by iterations. Use "
                "train_cfg=dict(type='EpochBasedTrainLoop', ...)."
            )

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Resuming from behind the boundary, or testing: unfreeze now, before states are loaded."""
        passed = self.label in ((checkpoint.get("meta") or {}).get(META_KEY) or {})
        testing = not isinstance(runner._train_loop, EpochBasedTrainLoop)
        if passed and not self.done and (runner._resume or testing):
            self._unfreeze(runner, with_optimizer=not testing)

    def before_train_epoch(self, runner) -> None:
        """Unfreeze when the epoch has come."""
        if self.done or runner.epoch < self.epoch:
            return
        proofs = [hook for hook in runner.hooks if isinstance(hook, FrozenProofHook)]
        for proof in proofs:
            proof.check(runner, f"before unfreezing {self.label}")
        self._unfreeze(runner, with_optimizer=True)
        for proof in proofs:
            proof.rebase(runner, f"unfroze {self.label}")

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write into the checkpoint that this step is done."""
        if self.done:
            checkpoint["meta"].setdefault(META_KEY, {})[self.label] = self.epoch

    # -- the step -----------------------------------------------------------------------------------------------

    def _unfreeze(self, runner, with_optimizer: bool) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parts = dict(model.named_modules())
        backbone = parts.get(self.module)
        if backbone is None or not hasattr(backbone, "unfreeze"):
            raise InputError(
                f"UnfreezeHook.module is {self.module!r}, which is no frozen_det.FrozenBackbone of the "
                "model. Name the one to unfreeze."
            )
        names = set(backbone.unfreeze(self.what))
        self.done = True
        if not with_optimizer:
            return
        group = {
            "params": [p for name, p in backbone.body.named_parameters() if name in names],
            "role": f"unfrozen {self.module}",
            **self.options,
        }
        add_group(runner, group, self.lr_mult)
        _wrap_again(runner)
        runner.logger.info(
            f"unfroze {self.label} at epoch {runner.epoch}; "
            + group_table(
                [group],
                None,
                runner.optim_wrapper.optimizer.defaults.get("weight_decay"),
                sum(p.numel() for p in model.parameters() if not p.requires_grad),
            )
        )


def add_group(runner, group: dict, lr_mult: float) -> None:
    """Add a parameter group to a run's optimiser, on the schedule where the other groups are (fills `group`).

    Raises:
        InputError: several optimisers.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        raise InputError(
            f"expected one optimiser (optim_wrapper), got {type(wrapper).__name__}: unfreezing cannot "
            "know which of several the new parameters belong to."
        )
    groups = wrapper.optimizer.param_groups
    leader = max(groups, key=lambda g: g.get("initial_lr", g["lr"]))
    top = leader.get("initial_lr", leader["lr"])
    group["initial_lr"] = lr_mult * top
    group["lr"] = lr_mult * leader["lr"]
    # mmengine's default constructor lists frozen parameters too; they have no state yet.
    new = {id(parameter) for parameter in group["params"]}
    for other in groups:
        other["params"] = [parameter for parameter in other["params"] if id(parameter) not in new]
    wrapper.optimizer.add_param_group(group)
    for scheduler in _schedulers(runner):
        # A scheduler keeps one base value per group; the host's own pseudo-group, if any, stays last.
        initial = group.get(f"initial_{scheduler.param_name}", group.get(scheduler.param_name))
        scheduler.base_values.insert(len(groups) - 1, initial)
        if hasattr(scheduler, "min_values"):
            scheduler.min_values.insert(len(groups) - 1, scheduler.min_values[-1])


def _schedulers(runner) -> list:
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        schedulers = [one for several in schedulers.values() for one in several]
    return list(schedulers)


def _wrap_again(runner) -> None:
    """A distributed wrapper reduces the gradients of what trained when it was made: rebuild it."""
    if is_model_wrapper(runner.model):
        inner = runner.model.module
        runner.model = inner  # the old wrapper's gradient hooks go with it
        runner.model = runner.wrap_model(runner.cfg.get("model_wrapper_cfg"), inner)
