"""mmcv's operators on boxes: NMS, soft-NMS, NMS that reports who suppressed whom, overlaps of all pairs.

Boxes are (N, 4) xyxy of any floating dtype and unit. A side measures ``x2 - x1 + offset``. Rotated boxes and
quadrilaterals have no counterpart and stay refused by name.
"""

import numpy as np
import torch

from .precision import wide


def nms(boxes, scores, iou_threshold, offset):
    """Greedy NMS: boxes (N, 4), scores (N,) -> kept indices (K,), best first; overlap above the threshold suppresses.

    torchvision knows offset 0 only. Adding the offset to the far corner gives the same areas and intersections.
    """
    from torchvision.ops import nms as plain

    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # Under autocast the scores can be half precision and the boxes single; torchvision wants one dtype.
    return plain(boxes.float(), scores.float(), float(iou_threshold))


def softnms(boxes, scores, dets, iou_threshold, sigma, min_score, method, offset):
    """Soft-NMS (Bodla et al., ICCV 2017): fills ``dets`` (N, 5) and returns the kept indices (K,), in order of choice.

    boxes (N, 4) and scores (N,) on the CPU. ``method``: 0 naive (overlap >= threshold scores 0), 1 linear
    (score * (1 - overlap) from the threshold on), 2 gaussian (score * exp(-overlap^2 / sigma)). A box whose decayed
    score falls below ``min_score`` is dropped; one that starts below it is dropped at the first decay. The first K
    rows of ``dets`` are the boxes with their decayed scores. Two boxes without area overlap by 0, not by 0/0.

    Ties are broken as in mmcv, whose loop swaps the chosen box with the first of the rest and fills the place of
    every dropped box with the last one.
    """
    rows = np.ascontiguousarray(torch.cat([wide(boxes), wide(scores)[:, None]], dim=1).detach().numpy())  # (N, 5)
    rest, index = rows.copy(), np.arange(len(rows))
    chosen, kept = [], []
    while len(rest):
        best = int(rest[:, 4].argmax())
        rest[[0, best]], index[[0, best]] = rest[[best, 0]], index[[best, 0]]
        chosen.append(rest[0].copy())
        kept.append(index[0])
        rest, index = rest[1:], index[1:]
        rest[:, 4] *= _decay(_overlaps(chosen[-1], rest, offset), iou_threshold, sigma, method)
        order = _filled_from_the_end(rest[:, 4] >= min_score)
        rest, index = rest[order], index[order]
    if chosen:
        dets[: len(chosen)] = torch.from_numpy(np.stack(chosen)).to(dets.dtype)
    return torch.tensor(kept, dtype=torch.long)


def _overlaps(box, others, offset: int):
    """IoU (M,) of one box with ``others`` (M, at least 4); 0 where neither has an area."""
    near, far = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    inter = np.maximum(far - near + offset, 0).prod(axis=1)
    union = (box[2:4] - box[:2] + offset).prod() + (others[:, 2:4] - others[:, :2] + offset).prod(axis=1) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union != 0)


def _decay(overlaps, iou_threshold: float, sigma: float, method: int):
    if method == 2:
        return np.exp(-(overlaps * overlaps) / overlaps.dtype.type(sigma))
    reached = overlaps >= overlaps.dtype.type(iou_threshold)
    return np.where(reached, 1 - overlaps if method == 1 else 0, 1).astype(overlaps.dtype)


def _filled_from_the_end(stays):
    """Indices of the True entries of ``stays`` (M,), the gaps before their count filled with the last ones first."""
    count = int(stays.sum())
    order = np.arange(count)
    order[~stays[:count]] = (count + np.flatnonzero(stays[count:]))[::-1]
    return order


def nms_match(dets, iou_threshold):
    """Greedy NMS that keeps the suppressed: dets (N, 5) xyxy and score -> a list of groups of indices.

    Groups come in order of score; each holds the kept box first, then those it suppressed (overlap at or above the
    threshold, as in mmcv, where `nms` asks for more than it), in order of score.
    """
    rows = wide(dets).detach().cpu().numpy()
    waiting = np.argsort(-rows[:, 4], kind="stable")
    groups = []
    while len(waiting):
        best, others = waiting[0], waiting[1:]
        # Compared at the boxes' own precision: the compiled operator is handed a float.
        suppressed = _overlaps(rows[best], rows[others], 0) >= rows.dtype.type(iou_threshold)
        groups.append([int(best), *(int(i) for i in others[suppressed])])
        waiting = others[~suppressed]
    return groups


def bbox_overlaps(bboxes1, bboxes2, ious, mode, aligned, offset):
    """Fill ``ious`` (M, N), or (M,) if ``aligned``, with intersection over union (mode 0) or over area 1 (mode 1)."""
    first, second = wide(bboxes1), wide(bboxes2)
    if not aligned:
        first = first[:, None]
    near, far = torch.max(first[..., :2], second[..., :2]), torch.min(first[..., 2:], second[..., 2:])
    inter = (far - near + offset).clamp(min=0).prod(dim=-1)
    area1, area2 = ((boxes[..., 2:] - boxes[..., :2] + offset).prod(dim=-1) for boxes in (first, second))
    ious.copy_(inter / (area1 + area2 - inter if mode == 0 else area1))


OPERATORS = {"nms": nms, "softnms": softnms, "nms_match": nms_match, "bbox_overlaps": bbox_overlaps}
