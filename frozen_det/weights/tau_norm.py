"""Tau-normalisation: a trained detector's final classification layer rescaled towards rare classes, without training.

Kang et al., "Decoupling representation and classifier for long-tailed recognition" (arXiv 1910.09217), section 4.2:
each class's weights are divided by their norm to the power tau, for frequent classes end with larger norms. Their
classifiers have no background. Here its weights stay as they are and so do the biases, as in the evaluation of
Balanced Group Softmax (arXiv 2006.10408, ``test_lvis_tnorm.py``), and norms are taken relative to their mean over
classes: a common factor ranks no class before another, but it would weigh objects against background.
"""

import math

from ..errors import InputError

_LAYER, _SEESAW = ".fc_cls.weight", ".loss_cls.cum_samples"


def tau_normalise(state: dict, tau: float, where: str) -> int:
    """Rescale every final classification layer of a two-stage detector's state dict, in place.

    Args:
        state: tensors by name.
        tau: 0 changes nothing, 1 gives all classes one norm.
        where: the file, for messages.

    Returns:
        how many layers there were.

    Raises:
        InputError: tau outside 0 to 1; no such layer; a class whose weights are all zero.
    """
    if not 0.0 <= tau <= 1.0:
        raise InputError(f"expected tau from 0 to 1 of the tau-normalisation, got {tau}. Usual: 0.5 to 1.")
    layers = [name for name in state if name.endswith(_LAYER)]
    if not layers:
        raise InputError(
            f"expected a two-stage detector with a final classification layer (roi_head.bbox_head.fc_cls) in {where}, "
            "got none. Give a checkpoint of Faster, Mask or Cascade R-CNN."
        )
    for name in layers:
        weight = state[name]
        # Seesaw's layer ends with two outputs that tell objects from background; it counts background as a class.
        counts = state.get(name.removesuffix(_LAYER) + _SEESAW)
        classes = (len(weight) if counts is None else len(counts)) - 1
        norms = weight[:classes].float().norm(dim=1)
        if not math.isfinite(float((1 / norms).sum())):
            raise InputError(f"expected weights other than zero for every class in {name} of {where}, got zeros.")
        factors = (norms.mean() / norms) ** tau
        state[name] = weight.clone()
        state[name][:classes] *= factors[:, None].to(weight.dtype)
    return len(layers)
