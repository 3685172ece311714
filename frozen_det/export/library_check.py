"""Weights under another library's names, run in that library's own model: same features, or the file is refused."""

import copy

import torch
from mmengine.logging import print_log

from ..errors import InputError
from ..models.backbone_sources.build import build_body
from ..weights.key_maps import is_derived
from ..weights.key_maps.equivalents import equivalent

# Of the largest magnitude of a feature; other libraries may order their sums otherwise.
TOLERANCE = 1e-4


def compare_in_library(backbone, tensors: dict, names: dict[str, str], layout: str) -> None:
    """Build the architecture in the layout's library, fill it with the tensors, compare the features by stride.

    A feature that needs tensors which only one of the two has (e.g. a last norm) is not compared. Where the library
    is not installed or no model of the same function is known, that is logged.

    Args:
        backbone: what the tensors came from.
        tensors: name -> tensor in the layout.
        names: name in the backbone -> name in the layout.
        layout: timm, torchvision, mmdet or mmpretrain.

    Raises:
        InputError: the features differ.
    """
    cfg = None if layout == "mmpretrain" else equivalent(backbone.architecture, layout)
    mapped = f"{backbone.architecture} in {layout}'s names: mapped by rule, and back bit for bit"
    if cfg is None:
        _log(
            f"{mapped}; not run, because "
            + (
                "frozen_det does not use that library"
                if layout == "mmpretrain"
                else f"no model of {layout} is known to be the same function"
            )
        )
        return
    other, body = build_body(cfg, backbone.strides), backbone._built
    own = copy.deepcopy(body.module)
    wanted = {name for name in other.module.state_dict() if not is_derived(name)}
    fitting = {name: value for name, value in tensors.items() if name in wanted}
    other.module.load_state_dict(fitting, strict=False)
    other.module.eval()  # not chained: mmdet's ResNet returns None
    own.eval()
    _poison(other.module, wanted - set(fitting))
    _poison(own, {name for name, text in names.items() if text not in wanted})
    compared, largest = _differences(body, own, other)
    if not largest <= TOLERANCE:
        raise InputError(
            f"{layout}'s {cfg.get('name', cfg['type'])} takes these weights but gives other features than "
            f"{backbone.architecture} (difference {largest:.1e} of the largest magnitude): padding, epsilon or "
            "activation differ. The file was not kept. Export with --layout plain."
        )
    _log(
        f"{mapped}; run in {other.architecture}: features at strides {compared} differ by {largest:.1e} of "
        "the largest magnitude at most"
    )


def _log(message: str) -> None:
    print_log(message, logger="current")


def _poison(module, names: set[str]) -> None:
    """Make every feature that depends on these entries not a number."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name in names and value.is_floating_point():
                value.fill_(float("nan"))


def _differences(body, own, other) -> tuple[list[int], float]:
    """Strides whose features both sides can give, and the largest difference among those."""
    # Windows of 7 at stride 32 divide 448, and no map is as small as one window: libraries pad windows differently.
    sizes = [(448, 448)] if "swin" in body.architecture.lower() else [(128, 160), (169, 122)]
    generator = torch.Generator().manual_seed(0)
    compared, largest = set(), 0.0
    for size_hw in sizes:
        images = torch.randn(1, 3, *size_hw, generator=generator)
        with torch.no_grad():
            pairs = zip(body.strides, body.extract(own, images), other.extract(other.module, images))
        for stride, a, b in pairs:
            if a.isnan().any() or b.isnan().any():
                continue
            compared.add(stride)
            same = a.shape == b.shape
            largest = max(largest, ((a - b).abs().max() / a.abs().max()).item() if same else float("inf"))
    return sorted(compared), largest
