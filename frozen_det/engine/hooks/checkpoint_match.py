"""`frozen_det.CheckpointMatchHook`: a run does not begin on a checkpoint, a model and data that do not belong together.

Testing, validation and resuming load every tensor or refuse, and compare the checkpoint's classes with the data's:
another order is matched by name while the model is evaluated, anything else is refused with both lists. Training from
other weights (`load_from`) takes what fits and says so in one line. No config has to list the hook:
:func:`guard_host_runner` lets every Runner have it from the first frozen_det type on that is requested.
"""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from ...errors import InputError
from ...registry import HOOKS
from ...weights.class_names import (
    CATEGORY_IDS,
    LABEL_CLASSES,
    counts_by_label,
    refuse_other_order,
    shown,
    stated_classes,
)
from ...weights.whole_checkpoint import load_part, load_whole, unwrapped, with_state_dict
from ..optimizers.rate_scaling import guard_rate_scaling
from ..runner.label_classes import category_ids, label_classes, name_of_data, order_for


@HOOKS.register_module()
class CheckpointMatchHook(Hook):
    """Compare checkpoint, model and data.

    Raises:
        InputError: a checkpoint that does not fill the model exactly, or classes that are not the data's.
    """

    priority = "VERY_HIGH"  # before hooks that change what was read (averaging)

    def __init__(self):
        self.where, self.classes, self._loaded, self._marked = "the model", None, False, True
        self._matching = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check what was read before the host fills the model from it, leniently."""
        self.where = f"the checkpoint {runner._load_from}" if runner._load_from else "the checkpoint"
        model = unwrapped(runner.model)
        with_state_dict(checkpoint, self.where)
        stated, self._loaded = stated_classes(checkpoint, self.where), True
        training = isinstance(runner._train_loop, BaseLoop)
        if training and not runner._resume:
            self._begin_from(runner, model, checkpoint, stated)
            return
        self.classes, self._marked = stated, counts_by_label(checkpoint)
        if training:
            data = runner.train_loop.dataloader.dataset
            refuse_other_order(stated, label_classes(data), self.where, name_of_data(data), _is_optional(model))
        for name in () if training else ("_val_loop", "_test_loop"):
            if isinstance(getattr(runner, name), BaseLoop):
                self._order(getattr(runner, name).dataloader.dataset, model)
        load_whole(model, checkpoint, self.where, counts_may_lack=not training)

    def before_train(self, runner) -> None:
        """The classes are the training data's from here on; validation data must have them too."""
        model, data = unwrapped(runner.model), runner.train_loop.dataloader.dataset
        classes = label_classes(data)
        if not self._loaded:
            refuse_other_order(
                getattr(model, "stated_classes", None), classes, "model.weights", name_of_data(data), optional=True
            )
        self.classes, self.where, self._loaded, self._marked = classes, name_of_data(data), True, True
        if isinstance(runner._val_loop, BaseLoop):
            self._order(runner._val_loop.dataloader.dataset, model)

    def before_val(self, runner) -> None:
        """Match labels by name, where their order differs."""
        self._match(runner, runner.val_loop.dataloader.dataset)

    def before_test(self, runner) -> None:
        """Match labels by name, where their order differs."""
        self._match(runner, runner.test_loop.dataloader.dataset)

    def after_val(self, runner) -> None:
        """Restore the model's own labels."""
        self._stop_matching()

    def after_test(self, runner) -> None:
        """Restore the model's own labels."""
        self._stop_matching()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write down which class each label is, by name and by the id of its category: the host's own entry is the
        list of the data set's metainfo."""
        data = runner.train_loop.dataloader.dataset
        classes, ids = label_classes(data), category_ids(data)
        if classes is not None:
            checkpoint["meta"][LABEL_CLASSES] = list(classes)
            if ids is not None and len(ids) == len(classes):
                checkpoint["meta"][CATEGORY_IDS] = list(ids)

    # -- parts --------------------------------------------------------------------------------------------------

    def _begin_from(self, runner, model, checkpoint: dict, stated) -> None:
        """Training from other weights: what fits is taken, and said once."""
        runner.logger.info(load_part(model, checkpoint, self.where))
        classes = label_classes(runner.train_loop.dataloader.dataset)
        if stated is not None and classes is not None and stated != classes:
            runner.logger.warning(
                f"{self.where} was trained for other classes or another order of them ({shown(stated)}) than these "
                f"data ({shown(classes)}): a classification layer of the same shape starts with those classes' weights"
            )

    def _order(self, dataset, model):
        """How the model's labels become the data set's; None where they are the same."""
        if not self._loaded:  # weights that the config names, tested without a checkpoint
            return order_for(dataset, getattr(model, "stated_classes", None), "model.weights", optional=True)
        return order_for(dataset, self.classes, self.where, _is_optional(model), self._marked)

    def _match(self, runner, dataset) -> None:
        model = unwrapped(runner.model)
        order = self._order(dataset, model)
        if order is not None:
            runner.logger.info(
                f"the classes of {name_of_data(dataset)} are in another order than those of "
                f"{self.where}: labels are matched by name"
            )
            self._matching = model.register_forward_hook(MatchedLabels(order))

    def _stop_matching(self) -> None:
        if self._matching is not None:
            self._matching.remove()
            self._matching = None


class MatchedLabels:
    """A forward hook that gives predictions the data's labels in place of the model's.

    Args:
        order: the data's label of each label of the model.
    """

    def __init__(self, order: tuple[int, ...]):
        self.order = torch.tensor(order)

    def __call__(self, model, args, outputs):
        """Predictions with the data's labels; what is no list of predictions (losses, maps) stays."""
        if not isinstance(outputs, list):
            return outputs
        return [self._matched(one) for one in outputs]

    def _matched(self, prediction):
        if isinstance(prediction, dict) and "logits" in prediction:  # a classifier's: (C,) each
            back = self.order.argsort()
            return {
                **prediction,
                **{
                    key: prediction[key][back.to(prediction[key].device)]
                    for key in ("logits", "scores")
                    if key in prediction
                },
            }
        found = getattr(prediction, "pred_instances", None)
        if found is None or "labels" not in found or hasattr(prediction, "pred_panoptic_seg"):
            raise InputError(
                "expected detections or class scores, to match classes in another order by name, got "
                f"{type(prediction).__name__} without them. Give the data set the checkpoint's order of "
                "classes: metainfo=dict(classes=...)."
            )
        found.labels = self.order.to(found.labels.device)[found.labels]
        return prediction


def guard_host_runner() -> None:
    """Let every Runner of this process have the hook, whether its config lists it or not. Safe to call many times."""
    guard_rate_scaling()
    if getattr(Runner.call_hook, "guarded", False):
        return
    plain = Runner.call_hook

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """mmengine's signature."""
        if not getattr(self, "_has_checkpoint_match", False):
            self._has_checkpoint_match = True
            if not any(isinstance(hook, CheckpointMatchHook) for hook in self._hooks):
                self.register_hook(CheckpointMatchHook())
        plain(self, fn_name, **kwargs)

    call_hook.guarded = True
    Runner.call_hook = call_hook


def _is_optional(model) -> bool:
    """Whether files for this model usually name no classes."""
    return getattr(model, "classes_are_optional", False)
