"""Arithmetic of pseudo-labels: temperature, and the weight of pseudo-labelled images in a joint loss.

Xie et al., arXiv 1911.04252, and ``main.py`` of its released code.
"""

import torch
from torch import Tensor

from ..errors import InputError

WEIGHTINGS = ("sum", "mean")


def at_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """The distribution that a softmax at temperature T gives, from the one at 1.

    ``softmax(z / T)`` is ``p ** (1 / T)``, normalised, for ``p = softmax(z)``: so T need not be known when images are
    labelled.

    Args:
        probabilities: (N, C) float, rows of at least one positive number; they are normalised, too (stored as
            float16 they are off by some 1e-3).
        temperature: above 0.
    """
    if not temperature > 0:
        raise InputError(f"expected a temperature above 0, got {temperature!r} (temperature).")
    powers = probabilities.double().clamp_min(0).pow(1 / temperature)
    return (powers / powers.sum(1, keepdim=True)).to(torch.float32)


def joint_loss(labelled: Tensor, pseudo: Tensor, ratio: float, weighting: str) -> Tensor:
    """One loss out of the means over labelled and pseudo-labelled images.

    Args:
        labelled, pseudo: scalars.
        ratio: pseudo-labelled images for each labelled one.
        weighting: "sum": ``labelled + ratio * pseudo`` (released code: the sum over both, divided by the labelled
            batch). "mean": that divided by ``1 + ratio``, the mean over the joint batch, ``1 + ratio`` times smaller.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"expected weighting as one of {list(WEIGHTINGS)}, got {weighting!r} (weighting).")
    total = labelled + ratio * pseudo
    return total if weighting == "sum" else total / (1 + ratio)
