"""The names that a metric's numbers will have, known before there is a result to evaluate.

They come from the very functions that make the numbers, called without any counts.
"""

from collections.abc import Mapping

import numpy as np

from .accumulated import AREAS, Accumulated
from .evaluate import limits_of, numbers_of

_IOUS = tuple(0.5 + 0.05 * step for step in range(10))


def reported_names(settings: Mapping, federated: bool = False) -> set[str]:
    """Names of a CocoMetric's or LVISMetric's numbers, without its prefix.

    Args:
        settings: arguments of the metric; federated: whether it counts as LVIS does.

    Returns:
        the names; `*` matches the name of a class.
    """
    if settings.get("format_only"):
        return set()
    kinds = settings.get("metric", "bbox")
    names: set[str] = set()
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        limits = tuple(settings.get("proposal_nums") or ()) if kind == "proposal" else ()
        nothing = _nothing(settings.get("iou_thrs"), limits or limits_of(kind, federated))
        numbers = numbers_of(kind, nothing, [], federated)
        fixed = [f"fixed_{name}" for name in numbers if name.startswith("AP")] if settings.get("fixed_ap") else []
        names |= {name if kind == "proposal" else f"{kind}_{name}" for name in [*numbers, *fixed]}
        if settings.get("classwise") and kind != "proposal":
            names.add(f"{kind}_*_precision")
    return names


def _nothing(ious, limits: tuple[int, ...]) -> Accumulated:
    ious = _IOUS if ious is None else tuple(np.atleast_1d(ious).tolist())
    shape = (len(ious), 0, len(AREAS), len(limits))
    return Accumulated(
        precision=np.full((len(ious), 101, *shape[1:]), -1.0),
        recall=np.full(shape, -1.0),
        iou_thresholds=ious,
        category_ids=(),
        max_detections=tuple(limits),
    )
