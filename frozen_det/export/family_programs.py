"""Detectors on one frozen backbone as programs: the backbone once, and of each detector what follows it.

A decoder's program takes the backbone's outputs under their names (``stride_8``, ...) and gives the raw maps of its
head, or with ``sizes`` the detections of a two-stage one, as :mod:`.detector_program` does for a whole detector.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..models.backbones.frozen_backbone import FrozenBackbone
from .detections import GivenFeatures, export_decoder
from .detector_program import RawOutputs, card_of, refuse_unfit
from .programs import SUFFIXES, ProgramReport, export_program, output_names, write_program
from .two_stage_parts import is_two_stage

BACKBONE = "backbone"


def export_family(
    family: Mapping[str, Any], folder: str | Path, kind: str = "onnx", size_hw: tuple[int, int] | None = None
) -> dict[str, ProgramReport]:
    """Write detectors on one frozen backbone as a program of the backbone and one for each decoder.

    Args:
        family: a :class:`frozen_det.DetectorFamily`; its members are wholly frozen.
        folder: gets ``backbone.onnx`` and a file for each member, named as the member is.
        kind: ``onnx`` or ``torch-export``.
        size_hw: fix the size of the images; None leaves batch, height and width open.

    Returns:
        by ``backbone`` and the members' names what was written and how far it differs from the model.

    Raises:
        InputError: no member; adapters or trained stages; an op that a program cannot hold, by name; a difference that
            is too large.
    """
    models = {name: one.model for name, one in family.items()}
    widest = _widest(models)
    for model in models.values():
        refuse_unfit(model, kind, size_hw)
    folder, suffix = Path(folder).expanduser(), SUFFIXES[kind]
    folder.mkdir(parents=True, exist_ok=True)
    reports = {BACKBONE: export_program(widest, folder / f"{BACKBONE}{suffix}", kind, size_hw)}
    for name, model in models.items():
        reports[name] = _export_decoder(model, folder / f"{name}{suffix}", kind, size_hw)
    return reports


def _widest(models: Mapping[str, nn.Module]) -> FrozenBackbone:
    """The backbone whose outputs are those of all."""
    if not models or BACKBONE in models:
        raise InputError(f"expected members, none of them called {BACKBONE!r}, got {sorted(models) or 'none'}.")
    for name, model in models.items():
        if not (isinstance(model.backbone, FrozenBackbone) and model.backbone.is_wholly_frozen):
            raise InputError(
                f"expected members on a wholly frozen backbone, which one program can serve, but {name} has adapters "
                "or trained stages. Export it by itself (--part detector)."
            )
    widest = max((model.backbone for model in models.values()), key=lambda one: len(one.strides))
    wanted = {stride for model in models.values() for stride in model.backbone.strides}
    if not wanted <= set(widest.strides):
        raise InputError(
            f"expected a member with the strides of all, {sorted(wanted)}, got at most {list(widest.strides)}. Export "
            "members with other strides by themselves."
        )
    return widest


def _export_decoder(model: nn.Module, path: Path, kind: str, size_hw) -> ProgramReport:
    if is_two_stage(model):
        return export_decoder(model, path, kind, size_hw, card_of(model))
    backbone = model.backbone
    try:
        model.backbone = GivenFeatures()  # the copy would hold the backbone's tensors
        decoder = RawOutputs(copy.deepcopy(model).eval().requires_grad_(False))
    finally:
        model.backbone = backbone

    def features(images: Tensor) -> tuple[Tensor, ...]:
        return tuple(backbone.plain_features(images))

    with torch.no_grad():
        names = tuple(decoder(features(torch.zeros(1, 3, *(size_hw or (256, 320))))))
    where = f"the decoder of {type(model).__name__}"
    return write_program(
        decoder,
        RawOutputs(model),
        path,
        kind,
        size_hw,
        max(backbone.strides),
        names,
        card_of(model),
        where,
        features,
        output_names(backbone.strides),
    )
