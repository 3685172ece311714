"""``frozen_det.ValidationLossHook``: the training's loss on the validation images, beside the scores.

A second pass over them (annotations loaded before the images are resized, as in training), in eval mode, without
gradients, on a copy of the model that shares its parameters: no statistic, counter or random state of the training
changes, so a training with the hook is, bit by bit, the one without. The same regions are drawn each time. Logged as
``val_loss/loss`` and its parts: log file, TensorBoard and the like, the report's curves.
"""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from ...errors import InputError
from ...registry import HOOKS
from ...weights.whole_checkpoint import unwrapped

PREFIX = "val_loss"
_SEED = 0


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Compute the validation loss at every n-th validation.

    Args:
        interval: n, from 1 on. It costs as much as the validation itself.

    Raises:
        InputError: `interval` is no whole number from 1 on; validation data without annotations, or a model without a
            loss.
    """

    priority = "HIGH"  # before averaged weights are put back

    def __init__(self, interval: int = 1):
        if type(interval) is not int or interval < 1:
            raise InputError(f"expected interval from 1 on, got {interval!r} (ValidationLossHook.interval)")
        self.interval = interval
        self._loader = None
        self._num_validations = 0

    def before_train(self, runner) -> None:
        """Build its loader, so that what is missing is said before the training."""
        if not callable(getattr(unwrapped(runner.model), "loss", None)):
            name = type(unwrapped(runner.model)).__name__
            raise InputError(f"expected a detector with a loss, got {name} (ValidationLossHook); leave the hook out.")
        with _untouched_generators():
            self._loader = runner.build_dataloader(annotated(runner.cfg.get("val_dataloader")), seed=runner.seed)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Compute and log it."""
        self._num_validations += 1
        if self._loader is None or (self._num_validations - 1) % self.interval:
            return
        with _untouched_generators():
            random.seed(_SEED)
            np.random.seed(_SEED)
            torch.manual_seed(_SEED)
            losses = mean_losses(unwrapped(runner.model), self._loader)
        for name, value in losses.items():
            runner.message_hub.update_scalar(f"val/{PREFIX}/{name}", value)


def annotated(loader: dict | None) -> dict:
    """The config of validation data whose annotations are loaded right after the image, to be resized with it.

    Raises:
        InputError: no validation data, or a pipeline that loads no annotations.
    """
    if not loader:
        raise InputError("expected val_dataloader in the config for the validation loss, got none; leave the hook out.")
    loader = copy.deepcopy(loader)
    dataset = loader["dataset"]
    steps = list(dataset.get("pipeline") or [])
    loading = [one for one in steps if _kind(one) in ("LoadAnnotations", "LoadPanopticAnnotations")]
    if not loading or not _kind(steps[0]).startswith("LoadImage"):
        raise InputError(
            "expected a validation pipeline that loads an image and its annotations, got "
            f"{[_kind(one) for one in steps]} (val_dataloader.dataset.pipeline); the validation loss needs both."
        )
    others = [one for one in steps[1:] if one not in loading]
    dataset["pipeline"] = [steps[0], *loading, *others]
    loader["persistent_workers"] = False
    return loader


def mean_losses(model, loader) -> dict[str, float]:
    """Mean of the total loss and of its parts over the images, of all processes.

    Args:
        model: a detector; it is left as it is.
        loader: batches as in training.
    """
    shared = {id(one): one for one in model.parameters()}
    probe = copy.deepcopy(model, shared).eval()
    preprocessor = probe.data_preprocessor
    if getattr(preprocessor, "batch_augments", None) is not None:
        preprocessor.batch_augments = None  # these are of the training
    sums: dict[str, torch.Tensor] = {}
    num_images = 0
    with torch.no_grad():
        for batch in loader:
            data = preprocessor(batch, True)
            total, parts = probe.parse_losses(probe(**data, mode="loss"))
            weight = len(data["data_samples"])
            num_images += weight
            for name, value in {**parts, "loss": total}.items():
                sums[name] = sums.get(name, 0.0) + weight * torch.as_tensor(value).detach().cpu().double()
    return _over_processes(sums, num_images)


def _over_processes(sums: dict[str, torch.Tensor], num_images: int) -> dict[str, float]:
    names = sorted(sums)
    values = torch.stack(
        [*(sums[name].reshape(()) for name in names), torch.tensor(float(num_images), dtype=torch.float64)]
    )
    all_reduce(values)
    return {name: float(value / values[-1]) for name, value in zip(names, values)}


@contextmanager
def _untouched_generators() -> Iterator[None]:
    """What is drawn within changes no generator of Python, numpy and torch."""
    states = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def _kind(step) -> str:
    return str(step.get("type", "")).rpartition(".")[2]
