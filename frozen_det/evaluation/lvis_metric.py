"""``frozen_det.LVISMetric``: LVIS v0.5 and v1 numbers without lvis-api, which crashes on numpy from 1.24 on.

Federated rules as in lvis-api: an image judges only categories annotated in it or listed in its
``neg_category_ids``; in ``not_exhaustive_category_ids`` an unmatched detection is no error; the 300 best detections
of an image count, over all categories; crowds are ordinary objects, and what is marked ``ignore`` is neither right nor
wrong. ``fixed_ap=True`` adds the fixed AP of arXiv 2102.01066. It refuses ground truth without the federated lists or
without frequency groups, as a file and as a data set.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..registry import METRICS
from .coco_metric import CocoMetric
from .truth_check import FEDERATED_LISTS


@METRICS.register_module()
class LVISMetric(CocoMetric):
    """AP, AP50, AP75, APs/m/l, APr/c/f (rare, common, frequent), AR@300, ARs/m/l@300, as ``lvis/bbox_AP`` ...

    Args:
        fixed_ap: also ``{kind}_fixed_AP`` ...: no limit per image, the best 10,000 detections of each category over
            the data set. The detector must give many more than 300 boxes per image for it to mean something.
        Others as in :class:`CocoMetric`.
    """

    default_prefix = "lvis"
    federated = True
    kinds = ("bbox", "segm")

    def __init__(
        self, ann_file: str | None = None, metric: str | Sequence[str] = "bbox", fixed_ap: bool = False, **settings
    ) -> None:
        if fixed_ap not in (True, False):
            raise InputError(f"expected fixed_ap as True or False, got {fixed_ap!r:.80} (LVISMetric.fixed_ap)")
        super().__init__(ann_file=ann_file, metric=metric, **settings)
        self.fixed_ap = bool(fixed_ap)

    def _truth_of(self, sample: dict) -> dict:
        """Without the lists of absent categories every false alarm would go unseen."""
        lists = {name: sample.get(name) for name in FEDERATED_LISTS}
        lacking = [name for name, one in lists.items() if one is None]
        if lacking:
            raise InputError(
                f"expected {' and '.join(FEDERATED_LISTS)} in every data sample, because the metric has ann_file=None; "
                f"got no {' and no '.join(lacking)} (image {sample.get('img_id')}): the annotation file lacks them, or "
                "meta_keys of PackDetInputs do. Take LVIS's own annotation file, or CocoMetric for data that are "
                "annotated throughout"
            )
        for name, one in lists.items():
            if not all(isinstance(label, int | np.integer) for label in one or ()):
                raise InputError(
                    f"expected labels in {name} of image {sample.get('img_id')!r}, got {list(one or ())!r:.60}; "
                    "the data set must translate the file's ids, as frozen_det.LVISDataset does"
                )
        return {**super()._truth_of(sample), **lists}

    def _classes_of_set(self) -> Sequence:
        """Categories with their frequency groups, where the data set knows them."""
        groups = self.dataset_meta.get("frequency", [None] * len(self.dataset_meta["classes"]))
        return [
            {"name": name, **({"frequency": group} if group else {})}
            for name, group in zip(self.dataset_meta["classes"], groups)
        ]

    def _settings(self, image_ids, category_ids) -> dict:
        return {**super()._settings(image_ids, category_ids), "fixed_ap": self.fixed_ap}
