"""Options of the frozen forward pass: memory format, precision, BN folding, compilation. Weights are never modified.

Options that need other tensors (folded, or in another memory format) run on an inference copy. It shares all unchanged
tensors with the original and is updated when the original is loaded, moved or converted. The copy is not a submodule,
so state dict, digests, lean checkpoints and exports contain the original. All options but the memory format need a
wholly frozen backbone.
"""

import contextlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...errors import InputError, closest
from ...host.torch_versions import TORCH, autocast_dtype, is_compiling
from ..backbone_sources.build import Body
from .inference_copy import InferenceCopy, Originals, require_equal

WHERE = "model.backbone.forward"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
COMPILE_OPTIONS = ("backend", "dynamic", "fullgraph", "mode", "options")
# CUDA graphs overwrite the previous result, which a neck may still need.
_REPLAYED = ("reduce-overhead", "max-autotune")


@dataclass(frozen=True)
class ForwardSwitches:
    """Options of the frozen forward pass; the defaults are PyTorch's plain eager mode.

    Attributes:
        memory_format: ``'channels_last'`` for images and weights (feature maps then have this layout), or None.
        autocast: ``'bfloat16'``, ``'float16'`` or ``'float32'`` for the backbone only, overriding an outer autocast;
            None follows the outer autocast (``--amp``).
        fold_norms: run with BatchNorms folded into the convolutions before them.
        compile: True, or options of ``torch.compile`` among :data:`COMPILE_OPTIONS`.
    """

    memory_format: str | None = None
    autocast: str | None = None
    fold_norms: bool = False
    compile: bool | Mapping = False

    @classmethod
    def parse(cls, given: Mapping | None) -> "ForwardSwitches":
        """From ``model.backbone.forward`` of a config.

        Raises:
            InputError: an unknown key or value.
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise InputError(f"expected {WHERE} as a dict such as dict(fold_norms=True), got {given!r}.")
        known = [entry.name for entry in fields(cls)]
        for key in given:
            if key not in known:
                raise InputError(
                    f"expected keys among {', '.join(known)} in {WHERE}, got {key!r}; "
                    f"{closest(key, known) or 'leave it out.'}"
                )
        _one_of(given, "memory_format", (None, "channels_last"))
        _one_of(given, "autocast", (None, *DTYPES))
        _one_of(given, "fold_norms", (False, True))
        return cls(**{**given, "compile": _compile_options(given.get("compile", False))})

    @property
    def names(self) -> list[str]:
        """Names of the enabled options."""
        return [entry.name for entry in fields(self) if getattr(self, entry.name) != entry.default]

    @property
    def frozen_only(self) -> list[str]:
        """Names of the enabled options that need a wholly frozen backbone."""
        return [name for name in self.names if name != "memory_format"]


class FrozenForward:
    """Runs the network with the given options. Copies and pickles hold the options only and rebuild the rest."""

    def __init__(self, switches: ForwardSwitches):
        self.switches = switches
        self.reset()

    def __getstate__(self) -> ForwardSwitches:
        return self.switches

    def __setstate__(self, switches: ForwardSwitches) -> None:
        self.__init__(switches)

    def reset(self) -> None:
        """Discard the inference copy and the compiled program; the next forward rebuilds them."""
        self.copy: InferenceCopy | None = None
        self._originals = self._program = None
        self._compiled_once = False

    def laid_out(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in the configured memory format."""
        if self.switches.memory_format and not _is_traced(images):
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def __call__(self, body: Body, images: Tensor) -> tuple[Tensor, ...]:
        """Features of a wholly frozen network, without autograd history.

        On meta tensors and inside an outer trace (``torch.export``, ONNX, ``torch.compile``) the options are ignored.
        While any submodule has hooks, the copy and the compiled program are not used, so that the hooks fire.

        Args:
            body: in eval mode.
            images: (N, 3, H, W), normalised.

        Returns:
            (N, C_i, H / stride_i, W / stride_i) per stride. With `autocast` they are cast back to the dtype of the
            images, unless an outer autocast is active, which casts later inputs anyway.

        Raises:
            InputError: the compiler is missing or fails, the device lacks the precision, or folding changes the
                features.
        """
        with torch.no_grad():
            if not self.switches.names or _is_traced(images):
                return tuple(body.extract(body.module, images))
            kind, name = images.device.type, self.switches.autocast
            surrounded = autocast_dtype(kind) is not None
            images = self.laid_out(images)
            with torch.autocast(kind, enabled=False):
                run = self._prepared(body, images)
            with _precision(kind, name):
                features = run(images)
            if name and not surrounded:
                features = [feature.to(images.dtype) for feature in features]
            return tuple(features)

    # -- building -----------------------------------------------------------------------------------------------

    def _prepared(self, body: Body, images: Tensor):
        """``run(images) -> features``, up to date with the weights."""
        if self._originals is not None and self._originals.replaced():
            self.reset()
        if self._originals is None:
            self._originals = Originals(body.module)
        if self._originals.hooked():
            return _Features(body)
        if self._program is None:
            self._program = self._built(body, images)
        elif self.copy is not None and self._originals.changed():
            self.copy.refresh(body.module)
        return self._program

    def _built(self, body: Body, images: Tensor):
        run, said = _Features(body), []
        # Probe with synthetic input under fork_rng, so that the global RNG state is unchanged.
        with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
            if self.switches.fold_norms or self.switches.memory_format:
                self.copy = InferenceCopy(body, self.switches.fold_norms, self.switches.memory_format is not None)
                run = _Features(self.copy.body)
                said.append(
                    f"{self.copy.num_folded} norms folded; the inference copy needs "
                    f"{self.copy.bytes / 2**20:.1f} MiB of additional memory"
                )
        if self.copy is not None and self.copy.num_folded:
            first = images[:1]
            require_equal(_Features(body)(first), run(first), "fold_norms", body.architecture, first.dtype.itemsize < 4)
        if self.switches.compile:
            run = self._compiled(run, images.device.type, body.architecture)
            said.append("compiled at the first forward and for new kinds of input")
        if self.switches.autocast == "float16" and images.device.type == "cpu":
            said.append("float16 is slow on most CPUs; some have instructions for bfloat16")
        _log("; ".join([f"frozen forward of {body.architecture}: {', '.join(self.switches.names)}", *said]))
        return run

    def _compiled(self, run, kind: str, where: str):
        options = dict(self.switches.compile) if isinstance(self.switches.compile, Mapping) else {}
        if options.get("backend", "inductor") == "inductor":
            _require_compiler(kind)
        # `torch.compile(dynamic=True)` makes every number dynamic, and timm's feature extractors then return no
        # feature, without an error (torch 2.11, any backend). Here only the image sizes are dynamic.
        sizes_open = options.pop("dynamic", None)
        compiled = _refusing_clearly(
            lambda: torch.compile(run.function(), dynamic=False if sizes_open is False else None, **options)
        )

        def checked(images: Tensor):
            if sizes_open:
                images = _with_open_sizes(images)
            if self._compiled_once:
                return compiled(images)
            features = _refusing_clearly(lambda: compiled(images))
            wanted = run(images)
            # A final norm returns float32 even if everything before it ran in bfloat16.
            in_16_bit = self.switches.autocast in ("bfloat16", "float16") or any(f.dtype.itemsize < 4 for f in wanted)
            require_equal(wanted, features, "compile", where, in_16_bit)
            self._compiled_once = True
            return features

        return checked


class _Features:
    """``images -> features`` of a network."""

    def __init__(self, body: Body):
        self.module, self.extract = body.module, body.extract

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.extract(self.module, images))

    def function(self):
        """The same as a new function: torch.compile caches by code object, which two networks must not share."""
        import types

        module, extract = self.module, self.extract

        def features(images):
            return tuple(extract(module, images))

        return types.FunctionType(
            features.__code__.replace(), features.__globals__, "features", None, features.__closure__
        )


# ---- config --------------------------------------------------------------------------------------------------------


def _one_of(given: Mapping, key: str, values: tuple) -> None:
    value = given.get(key, values[0])
    if not any(value is known or (isinstance(value, str) and value == known) for known in values):
        raise InputError(
            f"expected {WHERE}.{key} among {', '.join(repr(v) for v in values)}, got {value!r}; "
            f"{closest(value, [v for v in values if isinstance(v, str)]) or 'leave it out for plain.'}"
        )


def _compile_options(given) -> bool | dict:
    if isinstance(given, bool):
        return given
    if not isinstance(given, Mapping):
        raise InputError(f"expected {WHERE}.compile as True, False or options of torch.compile, got {given!r}.")
    for key in given:
        if key not in COMPILE_OPTIONS:
            raise InputError(
                f"expected keys among {', '.join(COMPILE_OPTIONS)} in {WHERE}.compile, got {key!r}; "
                f"{closest(key, COMPILE_OPTIONS) or 'leave it out.'}"
            )
    if given.get("mode") in _REPLAYED:
        raise InputError(
            f"expected a mode without CUDA graphs in {WHERE}.compile, got {given['mode']!r}: a replayed "
            "graph writes its features over those that a backward pass may still need. Take "
            "'default' or 'max-autotune-no-cudagraphs'."
        )
    return dict(given)


# ---- environment ---------------------------------------------------------------------------------------------------


def _is_traced(images: Tensor) -> bool:
    return images.is_meta or torch.jit.is_tracing() or is_compiling()


@contextlib.contextmanager
def _precision(kind: str, name: str | None):
    if name is None:
        yield
        return
    if name == "float32":
        with torch.autocast(kind, enabled=False):
            yield
        return
    if kind == "cpu" and name == "float16" and TORCH < (2, 4):  # it warns and continues in float32, or fails later
        raise InputError(
            f"expected a torch that runs autocast in {name} on {kind} ({WHERE}.autocast), but "
            f"{torch.__version__} does not. Take 'bfloat16', or leave it out."
        )
    with torch.autocast(kind, DTYPES[name]):
        yield


def _require_compiler(kind: str) -> None:
    """Raise if the default backend of ``torch.compile`` cannot work on this device."""
    if kind == "cpu":
        import os

        name = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        if shutil.which(name.split()[0]) is None:
            raise InputError(
                f"expected a C++ compiler for {WHERE}.compile on a CPU, but there is no {name!r} on the "
                "path. Install one (Debian: apt install g++), name yours in the environment variable "
                "CXX, or leave compile out."
            )
    elif kind == "cuda":
        import importlib.util

        if importlib.util.find_spec("triton") is None:
            raise InputError(
                f"expected triton for {WHERE}.compile on a GPU, it is not installed. pip install triton, "
                "or leave compile out."
            )


def _with_open_sizes(images: Tensor) -> Tensor:
    """The images (N, 3, H, W) with N, H and W marked as dynamic."""
    for dimension in (0, 2, 3):
        torch._dynamo.maybe_mark_dynamic(images, dimension)
    return images


def _refusing_clearly(call):
    """``call()``, with failures of the compiler raised as a one-line InputError."""
    try:
        return call()
    except Exception as error:
        if not isinstance(error, InputError) and (
            type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
            or "torch.compile is not supported" in str(error)
        ):
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise InputError(
                f"expected a backbone that torch.compile can compile here ({WHERE}.compile), but it failed: "
                f"{first.strip()[:300]} Leave compile out."
            ) from error
        raise


def _log(message: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger="current")
