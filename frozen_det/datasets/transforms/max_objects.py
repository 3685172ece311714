"""`frozen_det.MaxObjects`: the first objects of an image, as many as the authors' detectors learn from at once."""

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import InputError
from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class MaxObjects(BaseTransform):
    """Keeps the first ``max_objects`` objects in the order of the annotation; ignored regions stay.

    `max_num_instances` of tensorflow/models and tensorflow/tpu is 100: their regions and masks learn from the first 100
    objects, their anchors from all, here both from the first.

    Args:
        max_objects: 1 or more.

    Raises:
        InputError: max_objects below 1.
    """

    def __init__(self, max_objects: int = 100):
        if max_objects < 1:
            raise InputError(
                f"expected max_objects of 1 or more, got {max_objects}, in a transform of type "
                "frozen_det.MaxObjects. Correct that key."
            )
        self.max_objects = max_objects

    def transform(self, results: dict) -> dict:
        ignored = np.asarray(results.get("gt_ignore_flags", np.zeros(len(results["gt_bboxes"]))), dtype=bool)
        if (~ignored).sum() <= self.max_objects:
            return results
        kept = ignored | (np.cumsum(~ignored) <= self.max_objects)
        for key in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags", "gt_masks", "gt_origins"):
            if results.get(key) is not None:
                results[key] = results[key][kept]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_objects={self.max_objects})"
