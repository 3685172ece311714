"""Two-stage detectors as ONNX programs that give detections: proposals, regions and suppression are inside.

Checked against the detector itself: of each detection of one there is one of the other with the same label, but for the
few whose overlap or score lies on a threshold.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from .programs import INPUT, Named, ProgramReport, write_program

SIZES = "sizes"
# In px of the input, and of scores and mask probabilities.
BOX_TOLERANCE, SCORE_TOLERANCE = 0.05, 1e-4
# Share of detections that may be on one side alone: those on a threshold.
UNPAIRED = 0.02


class Detections(nn.Module):
    """A two-stage detector as a function of (images, sizes), or of (features of its backbone..., sizes).

    Args:
        detector: a copy that may be changed.

    Raises:
        InputError: a part that no program can hold, by name.
    """

    def __init__(self, detector: nn.Module):
        from .two_stage import TwoStage

        super().__init__()
        self.detector, self.heads = detector, TwoStage(detector)

    def forward(self, given: tuple[Tensor, ...]) -> dict[str, Tensor]:
        *first, sizes = given
        return self.heads(self.detector.extract_feat(first[0] if len(first) == 1 else tuple(first)), sizes)


def export_detections(
    program: nn.Module,
    model: nn.Module,
    path: str | Path,
    kind: str,
    size_hw: tuple[int, int] | None,
    unit: int,
    card,
    where: str,
    features: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    inputs: tuple[str, ...] = (INPUT,),
) -> ProgramReport:
    """Write a two-stage detector, or what follows its backbone.

    Args:
        program: :class:`Detections` of a copy of the model.
        model: the detector, which it is compared with.
        path, kind, size_hw, unit, card, where: as :func:`.programs.write_program`.
        features: images to what the program takes in their place.
        inputs: names of that; ``sizes`` (N, 2), height and width in px of each picture in the padded input, comes last.

    Raises:
        InputError: a format other than ONNX; otherwise as `write_program`.
    """
    from .group_nms import translations

    if kind != "onnx":
        raise InputError(
            f"expected a file that ends in .onnx for {where}, whose program has suppression inside, which only ONNX "
            f"has as an operator, got {path}."
        )

    def given(images: Tensor) -> tuple[Tensor, ...]:
        first = (images,) if features is None else features(images)
        return (*first, sizes_within(images))

    names = ("boxes", "scores", "labels", *(("masks",) if model.roi_head.with_mask else ()))
    return write_program(
        program,
        lambda images: eager_detections(model, images, sizes_within(images)),
        path,
        kind,
        size_hw,
        unit,
        names,
        card,
        where,
        given,
        (*inputs, SIZES),
        compare,
        translations(),
    )


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
