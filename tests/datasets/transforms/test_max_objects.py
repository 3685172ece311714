"""MaxObjects: the first objects stay with their masks and labels, ignored regions do not count."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from frozen_det.datasets.transforms.max_objects import MaxObjects
from frozen_det.errors import InputError


def sample(ignored):
    n = len(ignored)
    return dict(
        gt_bboxes=HorizontalBoxes(torch.arange(4.0 * n).reshape(n, 4)),
        gt_bboxes_labels=np.arange(n),
        gt_ignore_flags=np.array(ignored, dtype=bool),
        gt_masks=BitmapMasks(np.stack([np.full((2, 2), i, np.uint8) for i in range(n)]), 2, 2),
    )


def test_the_first_objects_stay_and_ignored_regions_do_not_count():
    out = MaxObjects(2)(sample([False, True, False, False, True]))
    assert out["gt_bboxes_labels"].tolist() == [0, 1, 2, 4]
    assert out["gt_bboxes"].tensor[:, 0].tolist() == [0, 4, 8, 16]
    assert out["gt_masks"].masks[:, 0, 0].tolist() == [0, 1, 2, 4]
    assert out["gt_ignore_flags"].tolist() == [False, True, False, True]


@pytest.mark.parametrize("ignored", [[False, False], []])
def test_no_more_objects_than_allowed_are_left_as_they_are(ignored):
    before = sample(ignored) if ignored else dict(gt_bboxes=[], gt_ignore_flags=np.zeros(0, bool))
    assert MaxObjects(2)(before) is before


def test_fewer_than_one_is_refused():
    with pytest.raises(InputError, match="max_objects of 1 or more, got 0"):
        MaxObjects(0)
