"""The weight of pseudo-labelled images in a joint loss.

Xie et al., arXiv 1911.04252, and ``main.py`` of its released code.
"""

from torch import Tensor

from ...errors import InputError

WEIGHTINGS = ("sum", "mean")


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
