"""Reads `.pth` files without ever running code from them; refuses any object it does not know, by name.

`torch.load(weights_only=True)` reads tensors and plain containers. Files written by mmengine, timm or old scripts
also hold numpy arrays, log buffers and argparse namespaces. :func:`load` reads those as well, through an unpickler
whose ``find_class`` never imports anything: known names map to numpy's and torch's own rebuild functions, a few
harmless classes map to :class:`Inert` (a bag that keeps its arguments and state), everything else is refused.
"""

import collections
import io
import pickle
import types
from pathlib import Path

from .errors import InputError


class Inert:
    """Stands for an object of a class that is not imported: keeps constructor arguments and state, does nothing."""

    origin = "?"

    def __init__(self, *args, **kwargs):
        self.args, self.state = args, None

    def __setstate__(self, state):
        self.state = state

    def __call__(self, *args, **kwargs):
        return Inert(*args)

    def __repr__(self):
        return f"<inert {self.origin}>"


def load(path, map_location="cpu"):
    """Read a `.pth` / `.pt` / `.bin` file. Never runs code from it.

    Args:
        path: the file.
        map_location: as in `torch.load`.

    Returns:
        What the file holds; objects of unknown harmless classes as :class:`Inert`.

    Raises:
        InputError: the file is missing, broken, or needs code to be read (the refused name is given).
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a weights file, but {path} does not exist. Give the path of a .pth or "
                         ".safetensors file.")
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        pass  # not tensors alone: the careful reader below decides
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise _broken(path, error) from error
    try:
        return torch.load(path, map_location=map_location, weights_only=False, pickle_module=_careful_pickle(path))
    except InputError:
        raise
    except Exception as error:
        raise _broken(path, error) from error


def _broken(path, error) -> InputError:
    return InputError(f"expected a checkpoint that torch can read, but {path} is broken or incomplete "
                      f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}; "
                      f"{path.stat().st_size} bytes). Copy or download it again.")


# Harmless classes seen in checkpoints of mmengine, timm, FixRes and friends: data only, and never imported here.
_INERT = {("builtins", "getattr"), ("argparse", "Namespace"), ("pathlib", "PosixPath"), ("pathlib", "WindowsPath"),
          ("pathlib", "PurePosixPath"), ("pathlib._local", "PosixPath")}
_INERT_PACKAGES = ("mmengine.", "mmcv.", "mmdet.")


def _known(module: str, name: str):
    """The real object for names that are safe to call with any arguments; None for all others."""
    import numpy
    import torch

    if module == "builtins" and name in (
            "set", "frozenset", "dict", "list", "tuple", "int", "float", "bool", "complex", "str", "bytes",
            "bytearray", "slice", "range"):
        return getattr(__import__("builtins"), name)
    if module == "collections" and name in ("OrderedDict", "defaultdict", "Counter", "deque"):
        return getattr(collections, name)
    if module == "_codecs" and name == "encode":
        return __import__("_codecs").encode
    if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric",
                  "numpy._core.numeric"):
        if name in ("ndarray", "dtype"):
            return getattr(numpy, name)
        if name in ("_reconstruct", "scalar"):
            # numpy 1.26 has a `_core` too, an empty one for reading what numpy 2 pickled.
            multiarray = getattr(getattr(numpy, "_core", None), "multiarray", None) or numpy.core.multiarray
            return getattr(multiarray, name)
        scalar = getattr(numpy, name, None)
        if isinstance(scalar, type) and issubclass(scalar, numpy.generic):
            return scalar
    if module == "numpy.dtypes" and isinstance(getattr(numpy.dtypes, name, None), type):
        return getattr(numpy.dtypes, name)
    if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter",
                                             "_rebuild_parameter_with_state"):
        return getattr(torch._utils, name)
    if module == "torch.nn.parameter" and name == "Parameter":
        return torch.nn.Parameter
    if module in ("torch", "torch.storage"):
        value = getattr(torch, name, None) or getattr(torch.storage, name, None)
        if name in ("Size", "device", "Tensor") or name.endswith("Storage") or isinstance(value, torch.dtype):
            return value
    return None


def _careful_pickle(path: Path):
    """A module with `pickle`'s interface whose unpickler imports nothing."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            module = "builtins" if module == "__builtin__" else module  # torch.save writes Python 2's name
            found = _known(module, name)
            if found is not None:
                return found
            if (module, name) in _INERT or module.startswith(_INERT_PACKAGES):
                return type("Inert", (Inert,), {"origin": f"{module}.{name}"})
            raise InputError(
                f"expected tensors, numbers and plain containers, but {path} asks for `{module}.{name}` while it is "
                "read, which could run code. Nothing was run. If you trust the file's author: "
                f"frozen-det convert --trust {path} -o {path.with_suffix('.safetensors').name}")

    module = types.ModuleType("careful_pickle")
    module.Unpickler = Unpickler
    module.load = lambda file, **kwargs: Unpickler(file, **kwargs).load()
    module.loads = lambda data, **kwargs: Unpickler(io.BytesIO(data), **kwargs).load()
    for name in ("UnpicklingError", "PickleError", "HIGHEST_PROTOCOL"):
        setattr(module, name, getattr(pickle, name))
    return module
