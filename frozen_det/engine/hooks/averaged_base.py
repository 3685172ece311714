"""The averaged copy of a model (EMAHook) holds the same frozen base as the model, bit for bit.

The host copies the model before its weights are loaded, averages parameters only, and a lean checkpoint has no base to
resume the copy from: its norm statistics, and after a resume all of its base, would be those of chance.
"""

import torch

from ...weights.digest import canonical


def give_base_to_averages(runner) -> None:
    """Copy every frozen tensor into the averaged models of a run's hooks, before training begins."""
    for hook in runner.hooks:
        averaged = getattr(getattr(hook, "ema_model", None), "module", None)
        source = getattr(hook, "src_model", None)
        if averaged is None or source is None:
            continue
        copies = {canonical(name): part for name, part in averaged.named_modules()}
        for name, part in source.named_modules():
            if hasattr(part, "frozen_tensors") and hasattr(part, "body") and part.is_frozen:
                _copy(part, copies[canonical(name)])


@torch.no_grad()
def _copy(part, copy) -> None:
    held = copy.body.state_dict()
    for name, value in part.frozen_tensors().items():
        held[name].copy_(value)
    copy.source = part.source
