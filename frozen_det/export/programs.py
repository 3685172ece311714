"""Models as programs: ONNX and `torch.export`, with named outputs, compared with eager after reading back.

A program is kept only if the file gives what the model itself gives, at three input sizes and batch sizes. A model
whose size cannot be left open is refused with the reason, unless a fixed size is requested.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..host.torch_versions import TORCH
from ..models.backbones.bn_folding import fold_away
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..models.backbones.shared_features import stand_alone
from ..weights.atomic_write import replacing
from ..weights.card import KEY, WeightsCard, first_known
from ..weights.digest import fingerprint
from .weights_file import require_weights

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
INPUT = "images"
# Of the largest magnitude of an output.
TOLERANCE = 1e-4
INSTALL = "pip install 'frozen-det[export]'"
NEEDED_TORCH = (2, 6)

# A function from images (N, 3, H, W), or from a tuple of feature maps, to named outputs.
Named = Callable[[Any], dict[str, Tensor]]


@dataclass(frozen=True)
class ProgramReport:
    """What was written and how it was checked.

    Attributes:
        card: in the file.
        outputs: names; of a backbone one per stride.
        fixed_hw: the only input size, or None where height and width are free.
        step: height and width must be multiples of this (1: any).
        checked: (N, H, W) of the inputs on which it was compared with eager.
        largest_difference: over all of them, relative to the largest magnitude of the output.
    """

    card: WeightsCard
    outputs: tuple[str, ...]
    fixed_hw: tuple[int, int] | None
    step: int
    checked: tuple[tuple[int, int, int], ...]
    largest_difference: float


class FeaturesByStride(nn.Module):
    """A backbone as a function from images to a dictionary ``{"stride_4": (N, C, H / 4, W / 4), ...}``."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        body = self.backbone._built
        return dict(zip(output_names(body.strides), body.extract(self.backbone.body, images)))


def output_names(strides: Sequence[int]) -> tuple[str, ...]:
    """``stride_4``, ``stride_8``, ..."""
    return tuple(f"stride_{stride}" for stride in strides)


def export_program(
    backbone: FrozenBackbone,
    path: str | Path,
    kind: str,
    size_hw: tuple[int, int] | None = None,
    fold_norms: bool = False,
    card: WeightsCard | None = None,
) -> ProgramReport:
    """Write a backbone as a program that needs none of our code.

    Args:
        backbone: a :class:`frozen_det.FrozenBackbone` with weights in it. Its input is normalised images
            (N, 3, H, W), float32; mean, std and channel order are on the card in the file.
        path: `.onnx` or `.pt2`; whole or absent.
        kind: ``onnx`` or ``torch-export``.
        size_hw: fix the input size; None leaves batch, height and width open.
        fold_norms: put BatchNorms that follow a convolution into it (changes rounding, not the function).
        card: what is known about the weights beyond the backbone.

    Returns:
        what was written: the card in the file, names of the outputs, input sizes that were compared with eager and the
        largest difference, as a share of the largest magnitude.

    Raises:
        InputError: a size that cannot be left open, an op that the format lacks, a difference from eager that is too
            large, or a torch older than 2.6.
    """
    require_weights(backbone)
    names = output_names(backbone.strides)
    digest = fingerprint(dict(backbone.body.state_dict())).digest
    card = dataclasses.replace(first_known(card, backbone.describe_weights()), digest=digest)

    def eager(images: Tensor) -> dict[str, Tensor]:
        return dict(zip(names, backbone.plain_features(images)))

    model = FeaturesByStride(_program_copy(backbone, fold_norms))
    return write_program(model, eager, path, kind, size_hw, max(backbone.strides), names, card, backbone.architecture)


def _program_copy(backbone, fold_norms: bool):
    """A copy to trace: adapters merged where they can be, beside the backbone where not; norms folded if requested."""
    taken = stand_alone(copy.deepcopy(backbone)).cpu().eval().requires_grad_(False)
    if taken.adapters is not None:
        with suppress(InputError):  # a program can hold them beside the backbone, unlike a weights file
            taken.merge()
    if fold_norms:
        fold_away(taken._built)
    return taken


def write_program(
    model: nn.Module,
    eager: Named,
    path,
    kind: str,
    size_hw: tuple[int, int] | None,
    unit: int,
    names: Sequence[str],
    card: WeightsCard,
    where: str,
    given: Callable[[Tensor], Any] = lambda images: images,
    inputs: Sequence[str] = (INPUT,),
    compare: Callable[..., float] | None = None,
    translations: Mapping | None = None,
) -> ProgramReport:
    """Trace a model, write it, read it back and compare it.

    Args:
        model: what is traced; images to a dictionary with the keys `names`, in this order.
        eager: what it must give.
        path, kind, size_hw, card: as :func:`export_program`.
        unit: largest stride.
        where: the model's name, for messages.
        given: what the model takes instead of images, made from them: a tuple, of feature maps or of images and more.
        inputs: names of what it takes.
        compare: instead of the comparison of all values, takes the same and returns the largest difference.
        translations: operators of our own -> functions that write them as ONNX.

    Raises:
        InputError: as :func:`export_program`.
    """
    path = Path(path).expanduser()
    if path.suffix != SUFFIXES[kind]:
        raise InputError(f"expected an output file that ends in {SUFFIXES[kind]} for --format {kind}, got {path}.")
    if TORCH < NEEDED_TORCH:
        raise InputError(
            f"expected torch {'.'.join(map(str, NEEDED_TORCH))} or newer to write {path.name}, got "
            f"{torch.__version__}: programs with open sizes came with it. Export the weights instead (a "
            ".safetensors file), or pip install --upgrade torch torchvision."
        )
    tried = attempts(eager, size_hw, unit)
    for images, step in tried:
        try:
            with replacing(path) as partial, torch.no_grad():
                program = _trace(model.eval(), given(images[0]), size_hw, step if INPUT in inputs else 1, where)
                read = _write(program, partial, kind, inputs, names, card, where, step, translations)
                largest = (compare or _compare)(read, given, eager, images, path)
            break
        except InputError:
            if step == tried[-1][1]:
                raise
    return ProgramReport(card, tuple(names), size_hw, step, tuple((n.shape[0], *n.shape[2:]) for n in images), largest)


# ---- tracing -------------------------------------------------------------------------------------------------------


def attempts(eager: Named, size_hw, unit: int) -> list[tuple[list[Tensor], int]]:
    """What to try, in order: images at three sizes to compare on, and the step of sizes.

    First any size (where the model itself takes one that its strides do not divide), then multiples of the largest
    stride: some poolings are traced for even maps only.
    """
    generator = torch.Generator().manual_seed(0)

    def images(count, height, width):
        return torch.randn(count, 3, height, width, generator=generator)

    if size_hw is not None:
        return [([images(2, *size_hw), images(1, *size_hw), images(3, *size_hw)], 1)]
    divided = [images(2, 4 * unit, 5 * unit), images(1, 3 * unit, 7 * unit), images(3, 6 * unit, 4 * unit)]
    odd = images(3, 5 * unit + 9, 4 * unit - 6)
    try:
        with torch.no_grad():
            eager(odd)
    except (AssertionError, RuntimeError, ValueError):
        return [(divided, unit)]
    return [([*divided[:2], odd], 1), (divided, unit)]


def _trace(model: nn.Module, example, size_hw, step: int, where: str):
    """`torch.export` of the model with open batch, height and width, or with an open batch alone."""
    dim = torch.export.Dim
    if size_hw is not None:
        free = {0: dim.DYNAMIC}
    elif step == 1:
        free = {0: dim.DYNAMIC, 2: dim.DYNAMIC, 3: dim.DYNAMIC}
    else:
        free = {0: dim.DYNAMIC, 2: step * dim("rows", min=1), 3: step * dim("columns", min=1)}
    if size_hw is None and _has_windows(model):
        raise _must_be_fixed(where, "it cuts the map into windows, and how many depends on the size")
    try:
        with _exact_same_padding(), torch.no_grad():
            shapes = free if isinstance(example, Tensor) else tuple(_free_of(one, free) for one in example)
            return torch.export.export(model, (example,), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:
        if size_hw is None:
            raise _must_be_fixed(where, _first_cause(error)) from error
        raise InputError(f"{where} cannot be traced at {size_hw[0]} x {size_hw[1]}: {_first_cause(error)}") from error


def _free_of(tensor: Tensor, free: dict) -> dict:
    """The open dimensions of one of several inputs: of one that is no map, the batch alone."""
    return free if tensor.dim() == 4 else {0: free[0]}


def _must_be_fixed(where: str, reason: str) -> InputError:
    return InputError(
        f"{where} cannot be exported with an open input size: {reason}. Give the one size it will run "
        "at, for example --size 512 512."
    )


def _has_windows(model: nn.Module) -> bool:
    """Window attention (Swin and similar): tracing it with open sizes does not end in reasonable time."""
    kinds = {type(part).__name__.lower() for part in model.modules()}
    return any("windowattention" in kind or "windowmsa" in kind for kind in kinds)


@contextmanager
def _exact_same_padding() -> Iterator[None]:
    """Within this context timm's SAME padding is worked out in whole numbers, which can be traced for any size.

    timm divides and rounds up in floating point; both give ``max((ceil(x / s) - 1) s + (k - 1) d + 1 - x, 0)``.
    """
    import timm.layers.padding as padding

    original = padding.get_same_padding
    padding.get_same_padding = whole_same_padding
    try:
        yield
    finally:
        padding.get_same_padding = original


def whole_same_padding(size, kernel_size: int, stride: int, dilation: int):
    """TensorFlow's SAME padding (total of both sides) of one axis, for a size that may be symbolic."""
    overlap = dilation * (kernel_size - 1) + 1 - stride
    total = overlap + (-size) % stride
    return total if overlap >= 0 else torch.sym_max(total, 0)


# ---- files ---------------------------------------------------------------------------------------------------------


def _write(
    program,
    path: Path,
    kind: str,
    inputs: Sequence[str],
    names: Sequence[str],
    card: WeightsCard,
    where: str,
    step: int,
    translations: Mapping | None,
) -> Named:
    """Write the file; returns the program as read back from it."""
    if kind == "torch-export":
        torch.export.save(program, path, extra_files={f"{KEY}.json": card.to_json()})
        return torch.export.load(path).module()
    onnxruntime = import_onnx()
    try:
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(names),
            verbose=False,
            custom_translation_table=dict(translations or {}),
            # Of thousands of small nodes this takes longer than all the rest, and runtimes do it when they load.
            optimize=not translations,
        )
    except Exception as error:
        raise InputError(
            f"{where} cannot be written as ONNX: {_first_cause(error)}. Use a file that ends in "
            f"{SUFFIXES['torch-export']}."
        ) from error
    made.model.metadata_props[KEY] = card.to_json()
    made.model.metadata_props["input_size_multiple_of"] = str(step)
    made.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return onnx_function(session, names, inputs)


def onnx_function(session, names: Sequence[str], inputs: Sequence[str] = (INPUT,)) -> Named:
    """An onnxruntime session as a function on tensors."""

    def run(given) -> dict[str, Tensor]:
        tensors = (given,) if isinstance(given, Tensor) else given
        values = session.run(list(names), {name: one.numpy() for name, one in zip(inputs, tensors)})
        return {name: torch.from_numpy(value) for name, value in zip(names, values)}

    return run


def import_onnx():
    """onnxruntime, with the exporter's packages checked.

    Raises:
        InputError: one of them is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"expected the packages onnx, onnxscript and onnxruntime for ONNX, but {error.name} is not "
            f"installed. Remedy: {INSTALL}"
        ) from error
    return onnxruntime


def _first_cause(error: BaseException) -> str:
    """The exception at the bottom of a chain, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {(str(error).strip() or 'no detail').splitlines()[0][:300]}"


def _compare(read: Named, given: Callable, eager: Named, inputs: Sequence[Tensor], path: Path) -> float:
    """Largest difference from eager over all inputs and outputs, relative to the output's largest magnitude."""
    largest = 0.0
    for images in inputs:
        size = " x ".join(map(str, images.shape))
        with torch.no_grad():
            wanted = eager(images)
            try:
                got = read(given(images))
            except Exception as error:
                raise InputError(
                    f"the program for {path} does not run on {size}: {_first_cause(error)}. It was not "
                    "kept. Give the one size it will run at, for example --size 512 512."
                ) from error
        for name, value in wanted.items():
            if got[name].shape != value.shape:
                raise InputError(
                    f"the program for {path} gives {name} of shape {tuple(got[name].shape)} on {size}, "
                    f"eager {tuple(value.shape)}. It was not kept."
                )
            difference = ((got[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)).item()
            if not difference <= TOLERANCE:
                raise InputError(
                    f"the program for {path} differs from eager by {difference:.1e} of the largest "
                    f"magnitude in {name} on {size}, more than {TOLERANCE:.0e}. It was not kept."
                )
            largest = max(largest, difference)
    return largest
