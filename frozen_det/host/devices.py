"""The device to run on: the one that is requested, or the GPU where there is one."""

from ..errors import InputError


def device_of(asked: str | None):
    """A torch device that can hold numbers here.

    Args:
        asked: the device, ``cpu``, ``cuda``, ``cuda:1``, ...; None is the GPU if there is one, else the CPU.

    Raises:
        InputError: no such device, or not on this machine.
    """
    import torch

    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise InputError(
            f"expected a device of this machine ({', '.join(here)}), got {asked!r}: {str(error).splitlines()[0]}"
        ) from error
    return device
