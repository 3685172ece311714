"""Fill channels and strides of a detector's features into its heads; a contradicting value is refused.

Heads are recognised by constructor arguments, not by name. This includes parts inside a head (a prior generator, a
stage of a cascade, a pixel decoder). For heads on pooled regions see :mod:`.fill_roi_heads`.
"""

from ...errors import InputError
from ...host.signatures import argument_of
from ..backbone_sources.build import on_meta
from .fill_neck import Levels
from .fill_roi_heads import fill_roi_head
from .typed_parts import class_of, is_apart, takes, walk

# Argument names for the strides of the levels, and for their number.
_STRIDES = ("strides", "point_strides", "featmap_strides")
_NUM_LEVELS = ("num_ins", "num_levels", "num_feat_levels", "num_feature_levels")
# Detectors for a fixed image size (SSD, YOLACT) give strides as image size / cells: 110 for 128. Levels differ by 2.
_TOLERANCE_OF_RATIOS = 0.25


def fill_heads(cfg: dict, levels: Levels) -> None:
    """Fill the heads of a detector's config; `cfg` is changed.

    Args:
        cfg: config of a detector.
        levels: of the features that its heads receive.

    Raises:
        InputError: a value that contradicts the features.
    """
    kind = class_of(cfg)
    if kind is not None:
        _fill_num_levels(cfg, kind, levels, "model.detector")
    for key, part in list(cfg.items()):
        where = f"model.detector.{key}"
        if is_apart(key) or not isinstance(part, (dict, list, tuple)):
            continue
        if key == "roi_head":
            cfg[key] = fill_roi_head(part, levels, where)
            continue
        # Inner parts first: the form of in_channels is found by building a part with everything else filled in.
        for inner, kind, place, owners in reversed(list(walk(part, where))):
            _fill_width(inner, kind, owners, levels, place)
            _fill_strides(inner, kind, levels, place)
            _fill_num_levels(inner, kind, levels, place)


def made_for_one_size(cfg: dict) -> bool:
    """Whether a detector's priors are defined for a fixed image size, so that images must not be padded."""
    return any(
        takes(kind, "strides") and (takes(kind, "input_size") or _are_ratios(part.get("strides")))
        for part, kind, _, _ in walk(cfg, "model.detector")
    )


def _fill_width(part: dict, kind: type, owners: tuple, levels: Levels, where: str) -> None:
    """Fill `in_channels` (a number or a list), unless an enclosing part sets it."""
    if "proposal_feature_channel" not in part and takes(kind, "proposal_feature_channel"):
        part["proposal_feature_channel"] = levels.channels[0]
    if not takes(kind, "in_channels") or any(takes(owner, "in_channels") for owner in owners):
        return
    given, (first, *others) = part.get("in_channels"), levels.channels
    if given is None:
        part["in_channels"] = _width_taken(part, kind, levels.channels)
    elif list(given if isinstance(given, (list, tuple)) else [given]) not in (
        [levels.channels] if isinstance(given, (list, tuple)) else [[c] for c in levels.channels]
    ):
        raise InputError(
            f"{where}.in_channels is {given}, expected "
            f"{first if set(others) <= {first} else levels.channels} because the neck gives that many "
            "channels. Leave it out: it is filled in."
        )


def _width_taken(part: dict, kind: type, channels: list[int]):
    """The form of `in_channels` with which a part can be built; the annotated type is tried first."""
    from mmdet.registry import MODELS

    annotation = str(argument_of(kind, "in_channels").annotation)
    forms = [channels[0], list(channels)]
    if any(word in annotation for word in ("List", "Sequence", "Tuple", "list", "tuple")):
        forms.reverse()
    for form in forms:
        try:
            on_meta(lambda form=form: MODELS.build(dict(part, in_channels=form)))
            return form
        except Exception:  # not this form; any other problem is reported by the build
            continue
    return forms[0]


def _fill_strides(part: dict, kind: type, levels: Levels, where: str) -> None:
    for key in _STRIDES:
        if not takes(kind, key):
            continue
        wanted = _strides_of(part, kind, levels)
        given = part.get(key)
        if given is None:
            part[key] = wanted
            continue
        flat = [stride[0] if isinstance(stride, (list, tuple)) else stride for stride in given]
        tolerance = _TOLERANCE_OF_RATIOS if takes(kind, "input_size") or _are_ratios(flat) else 0
        if len(flat) != len(wanted) or any(abs(a / b - 1) > tolerance for a, b in zip(flat, wanted)):
            raise InputError(
                f"{where}.{key} is {flat}, expected {wanted} because the neck's features have these "
                "strides. Leave it out: it is filled in."
            )


def _strides_of(part: dict, kind: type, levels: Levels) -> list[int]:
    """The strides of a part's inputs, at its fixed image size or after its own resampling if it has these."""
    if takes(kind, "input_size"):
        size = part.get("input_size") or argument_of(kind, "input_size").default
        return [round(size / cells) for cells, _ in levels.sizes_at((size, size))]
    if hasattr(kind, "resize_feats"):  # SOLO
        import torch

        stride, channels = levels.strides[0], levels.channels[0]
        cells = [32 * max(levels.strides) // stride for stride in levels.strides]
        with torch.no_grad():
            seen = kind.resize_feats(None, [torch.zeros(1, channels, n, n, device="meta") for n in cells])
        return [stride * cells[0] // feature.shape[2] for feature in seen]
    return list(levels.strides)


def _are_ratios(strides) -> bool:
    return any(isinstance(stride, float) and stride != int(stride) for stride in strides or ())


def _fill_num_levels(part: dict, kind: type, levels: Levels, where: str) -> None:
    for key in _NUM_LEVELS:
        if not takes(kind, key):
            continue
        part.setdefault(key, len(levels.strides))
        if part[key] != len(levels.strides):
            raise InputError(
                f"{where}.{key} is {part[key]}, expected {len(levels.strides)} because the neck gives "
                f"features at strides {levels.strides}. Leave it out: it is filled in."
            )
