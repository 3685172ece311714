"""Check that a checkpoint holds the whole of a frozen backbone, or none of it."""

from collections.abc import Mapping

from torch import Tensor

from ...errors import InputError
from ...weights.tensor_checks import refuse_impossible


def holds_all(state_dict: Mapping[str, Tensor], base: str, wanted: Mapping[str, Tensor], frozen: str | None) -> bool:
    """Whether every tensor of a backbone is present with the right shape.

    Args:
        state_dict: of a detector.
        base: prefix of the backbone's keys in it.
        wanted: the backbone's own entries.
        frozen: name of the architecture if any of it is frozen; None leaves the check to mmengine.

    Raises:
        InputError: part of a frozen backbone is missing or has another shape; a tensor has impossible values.
    """
    missing = [name for name in wanted if base + name not in state_dict]
    there = [name for name in wanted if base + name in state_dict]
    reshaped = [name for name in there if state_dict[base + name].shape != wanted[name].shape]
    if (missing or reshaped) and there and frozen is not None:
        first = (missing + reshaped)[0]
        raise InputError(
            f"the checkpoint does not fit the frozen backbone: {len(missing)} of {len(wanted)} tensors missing, "
            f"{len(reshaped)} of another shape, the first is {base}{first}. Load a checkpoint of this backbone "
            f"({frozen})."
        )
    if missing or reshaped:
        return False
    refuse_impossible({name: state_dict[base + name] for name in wanted}, wanted, f"{base[:-1]} of the checkpoint")
    return True
