"""The device to run on: the one that is requested, or the GPU where there is one; and arrays sent there."""

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


def sent(array, device):
    """A numpy array as a tensor on a device. The host does not wait for a GPU: it hands over locked memory.

    Args:
        array: of any shape and a type that torch has; a CPU's tensor shares its memory.
        device: torch's, or its name.
    """
    import torch

    tensor = torch.from_numpy(array)
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def float64_of(tensor):
    """The tensor in float64: on its own device, or on the CPU where its device has no float64 (Apple's GPUs).

    Args:
        tensor: floating; not changed.
    """
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
