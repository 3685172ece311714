"""Whole detectors as programs: two-stage ones to their detections, others up to the raw outputs of their heads.

Of raw outputs, boxes are decoded and suppressed afterwards by the program's user. A detector whose ops no program can
hold is refused by the op or part.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import InputError
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..models.backbones.shared_features import stand_alone
from ..weights.card import WeightsCard
from ..weights.digest import fingerprint
from .detections import export_detections, require_program
from .programs import ProgramReport, write_program
from .two_stage_parts import is_two_stage

# What mmdet's dense heads return, in this order, each a list over levels.
_KINDS = ("scores", "boxes", "third", "fourth")


def export_detector(
    model: nn.Module,
    path,
    kind: str,
    size_hw: tuple[int, int] | None = None,
    about: Mapping[str, str] | None = None,
    int8: bool = False,
) -> ProgramReport:
    """Write a detector as a program with the outputs ``boxes``, ``scores``, ``labels`` and ``masks``, or raw maps.

    Raw maps are called ``scores_level0``, ``boxes_level0``, ...; two-stage detectors, see :class:`.two_stage.TwoStage`,
    take ``sizes`` beside the images.

    Args:
        model: a loaded mmdet detector in eval mode. The input is normalised images (N, 3, H, W), float32.
        path, kind, size_hw: as :func:`frozen_det.export.export_program`.
        about: metadata of a two-stage detector's program, for those who run it.
        int8: of a two-stage detector, whether weights are stored in 8 bits (:mod:`.int8`).

    Raises:
        InputError: an op that a program cannot hold, by name; otherwise as `export_program`.
    """
    if is_two_stage(model):
        return export_detections(model, path, kind, size_hw, card_of(model), about or {}, int8)
    if int8:
        raise InputError(f"expected a two-stage detector for weights of 8 bits, got {type(model).__name__}.")
    refuse_data_dependent(model, size_hw or (256, 320))
    backbone, where = model.backbone, type(model).__name__
    # An independent copy: tracing may leave marks on the modules it runs.
    network = RawOutputs(copy.deepcopy(model).eval().requires_grad_(False))
    for part in network.modules():
        if isinstance(part, FrozenBackbone):
            stand_alone(part)
    with torch.no_grad():
        names = tuple(network(torch.zeros(1, 3, *(size_hw or (256, 320)))))
    unit = max(getattr(backbone, "strides", (32,)))
    return write_program(network, RawOutputs(model), path, kind, size_hw, unit, names, card_of(model), where)


def card_of(model: nn.Module) -> WeightsCard:
    """The card of a whole detector: its type, backbone, digest and preprocessing."""
    backbone = model.backbone
    return WeightsCard(
        architecture=f"{type(model).__name__} on {getattr(backbone, 'architecture', type(backbone).__name__)}",
        digest=fingerprint(dict(model.state_dict())).digest,
        **_preprocessing(model),
    )


class RawOutputs(nn.Module):
    """A single-stage detector as a function from what its backbone takes to the maps of its head, by kind and level."""

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(self, images) -> dict[str, Tensor]:
        outputs = self.detector(images, None, mode="tensor")
        return {
            f"{kind}_level{level}": value for kind, values in zip(_KINDS, outputs) for level, value in enumerate(values)
        }


def _preprocessing(model: nn.Module) -> dict:
    """Card fields of the input, from the model's preprocessor."""
    given = model.data_preprocessor
    if not getattr(given, "_enable_normalize", False):
        return {}
    return dict(
        mean=tuple(given.mean.flatten().tolist()),
        std=tuple(given.std.flatten().tolist()),
        channel_order="rgb" if given._channel_conversion else "bgr",
    )


def refuse_unfit(model: nn.Module, kind: str, size_hw: tuple[int, int] | None) -> None:
    """Raise InputError if the detector has an op or a part that a program cannot hold."""
    if is_two_stage(model):
        require_program(model, kind, f"a {kind} program")
    else:
        refuse_data_dependent(model, size_hw or (256, 320))


def refuse_data_dependent(model: nn.Module, size_hw) -> None:
    """Run once in eager and raise if an op ran whose number of results depends on values."""
    from mmdet.structures import DetDataSample

    sample = DetDataSample(
        metainfo=dict(
            img_shape=size_hw,
            ori_shape=size_hw,
            batch_input_shape=size_hw,
            pad_shape=size_hw,
            scale_factor=(1.0, 1.0),
            img_id=0,
        )
    )
    with torch.no_grad(), _Ops() as ops:
        model(torch.zeros(1, 3, *size_hw), [sample], mode="tensor")
    if ops.found:
        raise InputError(
            f"{type(model).__name__} cannot be exported as a program: it calls {', '.join(ops.found)}, whose results "
            "depend in number on the image. Export its backbone (--part backbone), or a single-stage detector such "
            "as RetinaNet."
        )


class _Ops(TorchDispatchMode):
    """Notes ops that no program can hold, those from outside torch first."""

    def __init__(self):
        super().__init__()
        self._names = {}

    @property
    def found(self) -> list[str]:
        return sorted(self._names, key=lambda name: name.startswith("aten::"))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tags = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
        if func.namespace not in ("aten", "prim", "prims") or tags & set(func.tags):
            self._names[func._schema.name] = None
        return func(*args, **(kwargs or {}))
