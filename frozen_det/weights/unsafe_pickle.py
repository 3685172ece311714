"""Files that only code can read, turned into plain tensors by a process of their own, when the user says so.

Run as ``python -m frozen_det.weights.unsafe_pickle FILE OUT``: that process, and nothing else, unpickles FILE with
whatever code it names. It ends with its work; the caller reads back what it wrote, without running code. The code
in the file has the user's rights while it runs: the flag `--trust` is the user's consent.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from .atomic_write import replacing
from .loading import read, state_dict_of


def convert_trusted(path, out) -> int:
    """Unpickle a file in a process of its own and keep its tensors.

    Args:
        path: what nothing but code can read.
        out: `.safetensors` or `.pth` to write; whole or absent.

    Returns:
        number of tensors written.

    Raises:
        InputError: the file is missing, cannot be unpickled here, or holds no tensors.
    """
    path, out = Path(path).expanduser(), Path(out).expanduser()
    if not path.is_file():
        raise InputError(f"expected a file to convert, but {path} does not exist.")
    if out.suffix not in (".safetensors", ".pth"):
        raise InputError(f"expected an output file that ends in .safetensors or .pth, got {out}.")
    with replacing(out) as partial:
        command = [sys.executable, "-m", __name__, str(path), str(partial)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not partial.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise InputError(
                f"{path} could not be converted: {last[:400]} Nothing was written. If a module is "
                "missing, run this where the author's project is installed."
            )
        return len(state_dict_of(read(partial), str(path)))


def tensors_of(loaded) -> dict:
    """The named tensors in whatever was unpickled: a module, a state dict, or a dictionary that holds either.

    Raises:
        InputError: none found.
    """
    import torch

    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    elif isinstance(loaded, Mapping):
        # A whole module under a key ('model', 'ema', 'net') counts as its state dict.
        loaded = {
            key: value.state_dict() if isinstance(value, torch.nn.Module) else value for key, value in loaded.items()
        }
    tensors = state_dict_of(loaded, "the file")
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _main(path: str, out: str) -> None:
    import torch

    tensors = tensors_of(torch.load(path, map_location="cpu", weights_only=False))
    if out.endswith(".safetensors"):
        from safetensors.torch import save_file

        save_file(tensors, out, metadata={"format": "pt"})
    else:
        torch.save({"state_dict": tensors}, out)


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:3])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {(str(error).strip() or 'no detail').splitlines()[0]}")
