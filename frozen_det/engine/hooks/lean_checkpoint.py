"""`frozen_det.LeanCheckpointHook`: checkpoints that hold what was trained, load without pickled objects, never half.

It is mmengine's CheckpointHook with three more guarantees: a file is whole or absent and the previous one goes only
after it (:mod:`frozen_det.weights.atomic_files`); log history is plain numbers, so `torch.load(weights_only=True)`
reads the file; and, unless ``full=True``, frozen base weights are left out and replaced by their digest. Loading a
lean file loads the base strictly from `weights` and refuses another base (see
:class:`frozen_det.models.FrozenBackbone`). It guards the run besides: its folder, and what it resumes from
(:mod:`frozen_det.engine.runner.run_guard`).
"""

import dataclasses
import inspect
from pathlib import Path

from mmengine.hooks import CheckpointHook

from ...errors import InputError, closest
from ...evaluation.accumulated import MISSING
from ...evaluation.evaluated_pass import BEST, LAST
from ...registry import HOOKS
from ...weights import atomic_files
from ...weights.card import KEY
from ...weights.digest import fingerprint
from ...weights.lean import FORMAT_VERSION, left_out, make_lean, refuse_moved
from ...weights.mmengine_checkpoints import plain, plain_message_hub
from ...weights.thresholds import KEY as THRESHOLDS
from ...weights.whole_checkpoint import unwrapped
from ..runner.resuming import run_size
from ..runner.run_check import check_run
from ..runner.run_guard import RunGuard
from .averaged_base import give_base_to_averages
from .measured_thresholds import MeasuredThresholds


@HOOKS.register_module()
class LeanCheckpointHook(CheckpointHook):
    """Save checkpoints.

    Args:
        full: True writes plain mmdet checkpoints, frozen weights included, which any mmdet tool loads; False leaves
            out what is frozen.
        kwargs: of mmengine's CheckpointHook (`interval`, `by_epoch`, `save_best`, `max_keep_ckpts`, ...).
    """

    def __init__(self, full: bool = False, **kwargs):
        # The parent swallows unknown names (it hands them to torch.save, where they do nothing).
        known = set(inspect.signature(CheckpointHook.__init__).parameters) - {"self", "kwargs"}
        for name in set(kwargs) - known:
            raise InputError(
                f"LeanCheckpointHook has no argument {name!r} (default_hooks.checkpoint); {closest(name, known)}"
            )
        atomic_files.register()
        kwargs.setdefault("backend_args", dict(backend=atomic_files.NAME))
        super().__init__(**kwargs)
        self.full = full
        self.guard = RunGuard()
        self.measured = MeasuredThresholds()
        self._empty_named = False

    def before_run(self, runner) -> None:
        """Take the work directory for this run, and check what can be checked only now of its config."""
        self.guard.before_run(runner)
        check_run(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to continue with another run."""
        self.guard.after_load_checkpoint(runner, checkpoint)

    def before_train(self, runner) -> None:
        """Where checkpoints go, and the schedule of a resumed run."""
        super().before_train(runner)
        self.guard.before_train(runner)
        give_base_to_averages(runner)
        if not self.full:
            for name, part in left_out(unwrapped(runner.model)):
                refuse_moved(name, part, "before training began")

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """What was measured is of the weights until now."""
        self.measured.trained()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Save the best checkpoint, with the thresholds of this validation."""
        self.measured.validated(runner)
        super().after_val_epoch(runner, metrics)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Make the checkpoint plain and, unless full, lean. Called last of all hooks (lowest priority)."""
        checkpoint["message_hub"] = plain_message_hub(checkpoint["message_hub"])
        checkpoint["meta"] = plain({**checkpoint["meta"], "run": run_size(runner)})
        thresholds = self.measured.meta()
        if thresholds is not None:
            checkpoint["meta"][THRESHOLDS] = thresholds
        model = unwrapped(runner.model)
        if hasattr(model, "weights_card"):
            checkpoint["meta"][KEY] = _card(model, runner, checkpoint["state_dict"])
        if self.full:
            return
        lean = make_lean(model, checkpoint)
        if lean:
            checkpoint["meta"]["lean"] = {"version": FORMAT_VERSION, "modules": lean}

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """-1 says that there was nothing to measure, which is no best."""
        empty = [name for name in getattr(self, "key_indicators", ()) if metrics.get(name) == MISSING]
        if empty and not self._empty_named:
            self._empty_named = True
            runner.logger.warning(
                f"{', '.join(empty)} is {MISSING}: the validation data hold no object to find, so no "
                "checkpoint is saved as the best."
            )
        before = self._best_path
        super()._save_best_checkpoint(
            runner, {name: None if value == MISSING else value for name, value in metrics.items()}
        )
        if self._best_path != before:
            self.measured.keep(runner, BEST, self._best_path)

    @property
    def _best_path(self) -> str | None:
        """The best checkpoint by the first of the numbers that are watched."""
        if len(getattr(self, "key_indicators", None) or ()) > 1:
            return self.best_ckpt_path_dict[self.key_indicators[0]]
        return getattr(self, "best_ckpt_path", None)

    def after_train(self, runner) -> None:
        """Finish: the last checkpoint gets its thresholds, and nothing outdated is left behind."""
        self.measured.into_file(self.last_ckpt)
        self.measured.keep(runner, LAST, self.last_ckpt)
        super().after_train(runner)
        atomic_files.remove_outdated()

    def after_run(self, runner) -> None:
        """Give the work directory free."""
        self.guard.after_run(runner)


def _card(model, runner, state: dict) -> str:
    """The card of a classifier's weights as JSON: what they are, what trained them, the digest of what is stored."""
    recipe = Path(runner.cfg.filename).stem if runner.cfg.filename else None
    card = model.weights_card(recipe, evaluation_settings(runner.cfg))
    return dataclasses.replace(card, digest=fingerprint(state).digest).to_json()


def evaluation_settings(cfg) -> dict:
    """`input_size`, `crop_ratio` and `interpolation` that the validation's or test's transforms state."""
    loader = cfg.get("val_dataloader") or cfg.get("test_dataloader") or {}
    steps = (loader.get("dataset") or {}).get("transform") or []
    found = {}
    for step in steps if isinstance(steps, (list, tuple)) else [steps]:
        names = {"size": "input_size", "crop_ratio": "crop_ratio", "interpolation": "interpolation"}
        found.update({name: step[key] for key, name in names.items() if step.get(key) is not None})
    if not isinstance(found.get("input_size", 0), int):
        found["input_size"] = max(found["input_size"])
    return found
