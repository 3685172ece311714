"""Inputs and outputs of a detector's necks, found by running them on meta tensors; a neck that cannot run is refused.

This works for any neck. If `in_channels` is not given, its possible forms (a list, finest level first or last, or one
number) are tried, and the first with which the neck runs on the backbone's features is filled in. A None in a list of
`out_channels` means the number of input channels at that level.
Strides and channels after the neck are read from its output.
"""

import linecache
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch

from ...errors import InputError, closest
from ..backbone_sources.build import on_meta
from .typed_parts import class_of, takes

# Large enough that level 7 (stride 128) still has 8 x 10 cells; not square, to detect swapped axes.
_PROBE_HW = (1024, 1280)
# For operators that do not run on meta tensors.
_SMALL_PROBE_HW = (256, 320)


@dataclass(frozen=True)
class Levels:
    """The features that a detector's heads receive, in order.

    Attributes:
        strides: of each level.
        channels: of each level.
        divisor: images are padded to multiples of it.
        sizes_at: (height, width) in px -> (height, width) in cells of each level.
    """

    strides: list[int]
    channels: list[int]
    divisor: int
    sizes_at: Callable[[tuple[int, int]], list[tuple[int, int]]]


def levels_of_body(strides: Sequence[int], channels: Sequence[int]) -> Levels:
    """The levels of a detector without a neck."""
    strides = list(strides)
    return Levels(
        strides,
        list(channels),
        max(strides),
        lambda size_hw: [tuple(-(-side // stride) for side in size_hw) for stride in strides],
    )


def fill_necks(cfg: dict, levels: Levels) -> Levels:
    """Fill `in_channels` of the neck or list of necks in `cfg`.

    Args:
        cfg: config of a detector; `neck` is replaced.
        levels: of the backbone.

    Returns:
        the levels after the last neck.

    Raises:
        InputError: a neck that does not run on these features.
    """
    several = isinstance(cfg["neck"], Sequence)
    necks = list(cfg["neck"]) if several else [cfg["neck"]]
    for index, neck in enumerate(necks):
        where = f"model.detector.neck.{index}" if several else "model.detector.neck"
        necks[index], levels = _filled(dict(neck), levels, where, "the neck before it" if index else "the backbone")
    cfg["neck"] = necks if several else necks[0]
    return levels


def _filled(neck: dict, levels: Levels, where: str, giver: str) -> tuple[dict, Levels]:
    from mmdet.registry import MODELS

    kind = class_of(neck)
    if kind is None:
        raise InputError(
            f"expected a neck registered in mmdet in {where}, got type={neck.get('type')!r}; "
            f"{closest(str(neck.get('type')), MODELS.module_dict) or 'see its folder mmdet/models/necks'}"
        )
    if takes(kind, "num_levels"):
        neck.setdefault("num_levels", len(levels.strides))
    if isinstance(neck.get("out_channels"), (list, tuple)):  # SSD's neck passes its inputs through as its first levels
        neck["out_channels"] = type(neck["out_channels"])(
            channels if out is None else out
            for out, channels in zip_longest(neck["out_channels"], levels.channels[: len(neck["out_channels"])])
        )
    sized = takes(kind, "in_channels")
    candidates = _forms(levels.channels) if sized and neck.get("in_channels") is None else [neck.get("in_channels")]
    failures = []
    for probe_hw, on_cpu in ((_PROBE_HW, False), (_SMALL_PROBE_HW, True)):
        for candidate in candidates:
            tried = dict(neck, in_channels=candidate) if sized else neck
            try:
                return tried, _measured(tried, levels, probe_hw, on_cpu)
            except InputError:
                raise
            except Exception as error:  # any error means that it does not run on these features
                failures.append(error)
    raise _refusal(neck, levels, where, giver, failures[-len(candidates)])


def _forms(channels: list[int]) -> list:
    """Forms of `in_channels`: of all levels (finest or coarsest first), of the coarsest or of the finest level."""
    forms = [channels, channels[::-1], channels[-1], channels[0]]
    return [form for i, form in enumerate(forms) if form not in forms[:i]]


def _measured(neck: dict, levels: Levels, probe_hw, on_cpu: bool) -> Levels:
    from mmdet.registry import MODELS

    built, device = (MODELS.build(dict(neck)), "cpu") if on_cpu else on_meta(lambda: MODELS.build(dict(neck)))
    built.to(device).eval()  # constructors may create tensors on the CPU explicitly

    def run(size_hw):
        features = tuple(
            torch.zeros(1, c, *cells, device=device) for c, cells in zip(levels.channels, levels.sizes_at(size_hw))
        )
        with torch.no_grad():
            found = built(features)
        return [found] if isinstance(found, torch.Tensor) else list(found)

    found = run(probe_hw)
    # A stride that does not divide the probe size (14) would be measured as a slightly larger one.
    strides = (
        built.out_strides(levels.strides)
        if hasattr(built, "out_strides")
        else [max(round(probe_hw[0] / feature.shape[2]), 1) for feature in found]
    )
    return Levels(
        list(strides),
        [feature.shape[1] for feature in found],
        max(levels.divisor, getattr(built, "size_divisor", 1)),
        lambda size_hw: [tuple(feature.shape[2:]) for feature in run(size_hw)],
    )


def _refusal(neck: dict, levels: Levels, where: str, giver: str, failure: Exception) -> InputError:
    given = neck.get("in_channels")
    given = list(given) if isinstance(given, (list, tuple)) else given
    if given is not None and given not in _forms(levels.channels):
        return InputError(
            f"{where}.in_channels is {given}, but {giver} gives {levels.channels} at strides "
            f"{levels.strides}. Leave it out: it is filled in."
        )
    return InputError(
        f"expected a neck that runs on features of {levels.channels} channels at strides "
        f"{levels.strides} in {where}, but {neck.get('type')} raised {cause(failure)}. Change the neck's "
        "options, or the strides of the backbone."
    )


def cause(error: Exception) -> str:
    """An error in one line; for an assertion without a message, its source line."""
    words = " ".join(str(error).split())
    if not words and error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = (last.line or linecache.getline(last.filename, last.lineno)).strip()
    return f"{type(error).__name__}: {words}"[:300]
