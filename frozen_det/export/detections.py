"""Two-stage detectors as ONNX programs that give detections: proposals, regions and suppression are inside.

Checked against the detector itself: of each detection of one there is one of the other with the same label, but for the
few whose overlap or score lies on a threshold.
"""

import copy
import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import InputError
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..weights.atomic_write import replacing
from ..weights.card import KEY
from .int8 import quantize
from .joined_onnx import join
from .programs import (
    INPUT,
    SUFFIXES,
    Named,
    ProgramReport,
    attempts,
    export_program,
    import_onnx,
    onnx_function,
    output_names,
    write_program,
)

SIZES = "sizes"
# In px of the input, and of scores and mask probabilities.
BOX_TOLERANCE, SCORE_TOLERANCE = 0.05, 1e-4
# Share of detections that may be on one side alone: those on a threshold.
UNPAIRED = 0.02


class Detections(nn.Module):
    """What follows a two-stage detector's backbone, as a function of (features..., sizes).

    Args:
        detector: a copy that may be changed, whose backbone gives what it gets.

    Raises:
        InputError: a part that no program can hold, by name.
    """

    def __init__(self, detector: nn.Module):
        from .two_stage import TwoStage

        super().__init__()
        self.detector, self.heads = detector, TwoStage(detector)

    def forward(self, given: tuple[Tensor, ...]) -> dict[str, Tensor]:
        *features, sizes = given
        return self.heads(self.detector.extract_feat(tuple(features)), sizes)


class GivenFeatures(nn.Module):
    """Stands for a backbone whose features are given."""

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return features


def export_detections(
    model,
    path: str | Path,
    kind: str,
    size_hw: tuple[int, int] | None,
    card,
    about: Mapping[str, str],
    int8: bool = False,
) -> ProgramReport:
    """Write a whole two-stage detector: ``images`` (N, 3, H, W) and ``sizes`` (N, 2) to detections.

    Args:
        model: a loaded mmdet detector on a FrozenBackbone, in eval mode; adapters are merged.
        path, kind, size_hw, card: as :func:`.programs.write_program`; the format is ONNX.
        about: more metadata.
        int8: whether the weights are stored in 8 bits, after the comparison.

    Raises:
        InputError: a part that no program can hold, by name; otherwise as :func:`.programs.export_program`.
    """
    backbone, path = model.backbone, Path(path).expanduser()
    require_program(model, kind, path)
    onnxruntime = import_onnx()
    with tempfile.TemporaryDirectory() as folder, replacing(path) as partial:
        parts = Path(folder) / f"backbone{SUFFIXES[kind]}", Path(folder) / f"decoder{SUFFIXES[kind]}"
        first = export_program(backbone, parts[0], kind, size_hw)
        second = export_decoder(model, parts[1], kind, size_hw, card)
        steps = {"input_size_multiple_of": str(max(first.step, second.step))}
        join(*parts, partial, {KEY: card.to_json(), **steps, **about})
        session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
        read = onnx_function(session, second.outputs, (INPUT, SIZES))

        def given(images: Tensor) -> tuple[Tensor, ...]:
            return (picture(images), sizes_within(images))

        eager = _eager(model)
        images = next(one for one, step in attempts(eager, size_hw, max(backbone.strides)) if step >= first.step)
        largest = compare(read, given, eager, images, path)
        if int8:
            quantize(partial)
    return dataclasses.replace(second, step=first.step, largest_difference=largest)


def export_decoder(model, path: str | Path, kind: str, size_hw: tuple[int, int] | None, card) -> ProgramReport:
    """Write what follows the backbone: ``stride_4``, ... as the backbone's program gives them, and ``sizes``.

    Args and errors as :func:`export_detections`.
    """
    from .group_nms import translations

    backbone, where = model.backbone, f"the decoder of {type(model).__name__}"
    require_program(model, kind, path)
    try:
        model.backbone = GivenFeatures()  # the copy would hold the backbone's tensors
        decoder = Detections(copy.deepcopy(model).eval().requires_grad_(False))
    finally:
        model.backbone = backbone

    def given(images: Tensor) -> tuple[Tensor, ...]:
        return (*backbone.plain_features(picture(images)), sizes_within(images))

    names = ("boxes", "scores", "labels", *(("masks",) if model.roi_head.with_mask else ()))
    inputs = (*output_names(backbone.strides), SIZES)
    unit, eager = max(backbone.strides), _eager(model)
    return write_program(
        decoder, eager, path, kind, size_hw, unit, names, card, where, given, inputs, compare, translations()
    )


def require_program(model, kind: str, path) -> None:
    """Raise InputError if a two-stage detector cannot be written, before anything is."""
    from .two_stage_parts import refuse_other_parts

    if not isinstance(model.backbone, FrozenBackbone):
        raise InputError(f"expected a detector on a frozen_det.FrozenBackbone, got {type(model.backbone).__name__}.")
    refuse_other_parts(model)
    if kind != "onnx":
        raise InputError(
            f"expected a file that ends in .onnx for {type(model).__name__}, whose program has suppression inside, "
            f"which only ONNX has as an operator, got {path}."
        )


def _eager(model) -> Callable:
    return lambda images: eager_detections(model, picture(images), sizes_within(images))


def picture(noise: Tensor) -> Tensor:
    """Coloured blocks of about 32 px with a little noise; in noise alone detectors find nothing to compare."""
    height, width = noise.shape[2:]
    blocks = noise[:, :, : -(-height // 32), : -(-width // 32)]
    return interpolate(blocks, size=(height, width), mode="nearest") + 0.1 * noise


def sizes_within(images: Tensor) -> Tensor:
    """(N, 2) heights and widths for a check: the first picture fills the input, those after it a little less."""
    n, _, height, width = images.shape
    return torch.tensor([[height - 3 * i, width - 5 * i] for i in range(n)])


def eager_detections(model, images: Tensor, sizes: Tensor) -> dict[str, list[Tensor]]:
    """What mmdet's own functions find in each picture: ``boxes``, ``scores``, ``labels`` and, with masks, ``masks``.

    Args:
        model: a two-stage detector.
        images: (N, 3, H, W), normalised.
        sizes: (N, 2) height and width of each picture in it.
    """
    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import bbox2roi

    shape = tuple(images.shape[2:])
    metas = [
        dict(
            img_shape=size, ori_shape=size, batch_input_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0), img_id=i
        )
        for i, size in enumerate(map(tuple, sizes.tolist()))
    ]
    roi = model.roi_head
    with torch.no_grad():
        maps = model.extract_feat(images)
        proposals = model.rpn_head.predict(maps, [DetDataSample(metainfo=meta) for meta in metas], rescale=False)
        results = roi.predict_bbox(maps, metas, proposals, roi.test_cfg, rescale=False)
        found = dict(boxes=[one.bboxes for one in results])
        found |= dict(scores=[one.scores for one in results], labels=[one.labels for one in results])
        if roi.with_mask:
            labels = torch.cat(found["labels"])
            masks = _eager_masks(roi, maps, bbox2roi(found["boxes"]), labels)
            found["masks"] = list(masks.split([len(one) for one in found["labels"]]))
    return found


def _eager_masks(roi, maps, regions: Tensor, labels: Tensor) -> Tensor:
    if isinstance(roi.mask_head, nn.ModuleList):
        each = [roi._mask_forward(stage, maps, regions)["mask_preds"] for stage in range(len(roi.mask_head))]
        agnostic = roi.mask_head[-1].class_agnostic
    else:
        each, agnostic = [roi._mask_forward(maps, regions)["mask_preds"]], roi.mask_head.class_agnostic
    masks = torch.stack([one.sigmoid() for one in each]).mean(0)
    return masks[:, 0] if agnostic else masks[torch.arange(len(masks)), labels]


def pair(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Pair the detections of one picture: indices (M,) into each.

    Args:
        got, wanted: ``boxes``, ``scores``, ``labels``, without empty places. Pairs have one label, scores and boxes
            within ten times the tolerances, and each detection is in one pair at most, the best first.
    """
    near = (got["boxes"][:, None] - wanted["boxes"]).abs().amax(-1)  # (A, B)
    score = (got["scores"][:, None] - wanted["scores"]).abs()
    fits = (got["labels"][:, None] == wanted["labels"]) & (near <= 10 * BOX_TOLERANCE) & (score <= 10 * SCORE_TOLERANCE)
    cost = torch.where(fits, near / BOX_TOLERANCE + score / SCORE_TOLERANCE, torch.inf)
    first, second = [], []
    while cost.numel() and cost.min() < torch.inf:
        a, b = divmod(int(cost.argmin()), cost.shape[1])
        first.append(a)
        second.append(b)
        cost[a], cost[:, b] = torch.inf, torch.inf
    return torch.tensor(first, dtype=torch.long), torch.tensor(second, dtype=torch.long)


def compare(read: Named, given: Callable, eager: Callable, inputs, path: Path) -> float:
    """Compare a program with the detector; returns the largest difference of a score or a mask probability.

    Raises:
        InputError: too many detections without a counterpart, or a difference beyond the tolerances.
    """
    total, alone, boxes, values = 0, 0, 0.0, 0.0
    for images in inputs:
        got, wanted = read(given(images)), eager(images)
        for i in range(len(images)):
            holds = got["scores"][i] > 0
            mine = {name: value[i][holds] for name, value in got.items()}
            theirs = {name: value[i] for name, value in wanted.items()}
            a, b = pair(mine, theirs)
            total += len(mine["scores"]) + len(theirs["scores"])
            alone += len(mine["scores"]) + len(theirs["scores"]) - 2 * len(a)
            for name in mine.keys() - {"labels"}:
                if len(a):
                    difference = (mine[name][a] - theirs[name][b]).abs().max().item()
                    boxes, values = (
                        (max(boxes, difference), values) if name == "boxes" else (boxes, max(values, difference))
                    )
    if boxes > BOX_TOLERANCE or values > SCORE_TOLERANCE or alone > UNPAIRED * total:
        raise InputError(
            f"the program for {path} differs from eager: of {total} detections {alone} have no counterpart, the others "
            f"differ by up to {boxes:.1e} px and {values:.1e} in score or mask; expected at most {UNPAIRED:.0%}, "
            f"{BOX_TOLERANCE} px and {SCORE_TOLERANCE}. It was not kept."
        )
    return values
