"""The learning rate for another batch: in proportion to it, as mmengine has it, or to its square root.

timm scales so for Lamb, Adam and similar (huggingface/pytorch-image-models, train.py, `--lr-base-scale`): 5e-3 for 2048
images is 2.5e-3 for 512. No config has to name a hook: every Runner reads ``auto_scale_lr=dict(..., scaling="sqrt")``
from the first frozen_det type on that is built.
"""

from mmengine.runner import Runner

from ...errors import InputError

SCALINGS = ("linear", "sqrt")


def scaling_of(auto_scale_lr) -> str:
    """``linear`` or ``sqrt``.

    Raises:
        InputError: an unknown value.
    """
    scaling = (auto_scale_lr or {}).get("scaling", "linear")
    if scaling not in SCALINGS:
        raise InputError(f"expected auto_scale_lr.scaling as one of {', '.join(SCALINGS)}, got {scaling!r}.")
    return scaling


def rate_factor(batch: float, base_batch: float, scaling: str) -> float:
    """What a rate that is given for `base_batch` images is multiplied by for `batch` of them."""
    return (batch / base_batch) ** (0.5 if scaling == "sqrt" else 1)


def guard_rate_scaling() -> None:
    """Let every Runner of this process read ``scaling``. Safe to call many times."""
    if getattr(Runner.scale_lr, "reads_scaling", False):
        return
    plain = Runner.scale_lr

    def scale_lr(self, optim_wrapper, auto_scale_lr=None) -> None:
        """mmengine's signature."""
        if scaling_of(auto_scale_lr) == "sqrt" and auto_scale_lr.get("enable"):
            loader = self._train_dataloader
            batch = (loader["batch_size"] if isinstance(loader, dict) else loader.batch_size) * self.world_size
            # The host divides the batch by this number: its quotient is to be the root of the right one.
            factor = rate_factor(batch, auto_scale_lr["base_batch_size"], "sqrt")
            self.logger.info(
                f"the learning rate follows the square root of the batch: {batch} images a step for a "
                f"rate of {auto_scale_lr['base_batch_size']:g}"
            )
            auto_scale_lr = {**auto_scale_lr, "base_batch_size": batch / factor}
        plain(self, optim_wrapper, auto_scale_lr)

    scale_lr.reads_scaling = True
    Runner.scale_lr = scale_lr
