"""Whether a checkpoint fills a backbone: all of a frozen one is in it, or none of it."""

from collections.abc import Mapping

from torch import Tensor

from ...errors import InputError
from ...weights.tensor_checks import refuse_impossible


def holds_all(state_dict: Mapping[str, Tensor], base: str, wanted: Mapping[str, Tensor], frozen: str | None) -> bool:
    """Whether every tensor of a backbone is there, in its shape.

    Args:
        state_dict: of a detector.
        base: what its names of the backbone begin with.
        wanted: the backbone's own entries.
        frozen: name of its architecture, if any of it is frozen; None lets the host's own check speak.

    Raises:
        InputError: some of a frozen backbone is missing or has another shape; a tensor that cannot be weights.
    """
    missing = [name for name in wanted if base + name not in state_dict]
    there = [name for name in wanted if base + name in state_dict]
    reshaped = [name for name in there if state_dict[base + name].shape != wanted[name].shape]
    if (missing or reshaped) and there and frozen is not None:
        first = (missing + reshaped)[0]
        raise InputError(
            f"the checkpoint does not fit the frozen backbone: {len(missing)} of {len(wanted)} tensors missing, "
            f"{len(reshaped)} of another shape, the first is {base}{first}. Load a checkpoint of this body ({frozen})."
        )
    if missing or reshaped:
        return False
    refuse_impossible({name: state_dict[base + name] for name in wanted}, wanted, f"{base[:-1]} of the checkpoint")
    return True
