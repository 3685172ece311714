"""MaxBoxAcc against the released evaluation's steps written out with loops, one threshold at a time."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.ops.max_box_acc import contour_boxes, inclusive_ious, ious_along_thresholds, resized_box, score_map


def painted(box, side=300):
    canvas = np.zeros((side, side), bool)
    x1, y1, x2, y2 = (int(value) for value in box)
    canvas[y1 : y2 + 1, x1 : x2 + 1] = True
    return canvas


def by_loops(scores, truths, num):
    """evaluation.py: compute_bboxes_from_scoremaps and BoxEvaluator.accumulate, IoUs by counting pixels."""
    image = (scores * 255).astype(np.uint8)
    one, several = [], []
    for share in np.arange(0, 1, 1 / num):
        above = cv2.threshold(image, int(share * int(image.max())), 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(above, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        boxes = []
        for contour in contours:
            xs, ys = contour[:, 0, 0], contour[:, 0, 1]
            boxes.append(
                (
                    cv2.contourArea(contour),
                    (xs.min(), ys.min(), min(xs.max() + 1, image.shape[1] - 1), min(ys.max() + 1, image.shape[0] - 1)),
                )
            )
        boxes = boxes or [(0, (0, 0, 0, 0))]
        ious = [
            max((painted(box) & painted(truth)).sum() / (painted(box) | painted(truth)).sum() for truth in truths)
            for _, box in boxes
        ]
        one.append(ious[max(range(len(boxes)), key=lambda place: boxes[place][0])])
        several.append(max(ious))
    return np.array(one), np.array(several)


@pytest.mark.parametrize("seed", range(3))
def test_ious_are_those_of_the_released_evaluation(seed):
    rng = np.random.default_rng(seed)
    scores = score_map(rng.normal(size=(7, 7)).astype(np.float32), 56)
    truths = np.array([[4, 8, 14, 14], [40, 2, 54, 20]])
    ours, theirs = ious_along_thresholds(scores, truths, 40), by_loops(scores, truths, 40)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-12) and ours[1] == pytest.approx(theirs[1], abs=1e-12)
    assert (ours[1] > ours[0]).any()


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=2, max_size=2))
@settings(deadline=None, max_examples=40)
def test_inclusive_ious_count_the_last_pixel(corners):
    first, second = ((x, y, x + w, y + h) for x, y, w, h in corners)
    wanted = (painted(first, 30) & painted(second, 30)).sum() / (painted(first, 30) | painted(second, 30)).sum()
    assert inclusive_ious(np.array([first]), np.array([second])) == pytest.approx(wanted)


def test_the_largest_contour_comes_first_and_boxes_end_one_pixel_behind_it():
    scores = np.zeros((10, 10), np.uint8)
    scores[0:2, 0:2], scores[4:10, 5:10] = 255, 9
    assert contour_boxes(scores, 8).tolist() == [[5, 4, 9, 9], [0, 0, 2, 2]]
    assert contour_boxes(scores, 9).tolist() == [[0, 0, 2, 2]]
    assert contour_boxes(scores, 255).tolist() == [[0, 0, 0, 0]]


def test_a_score_map_goes_from_zero_to_one_and_keeps_what_is_negative():
    scores = score_map(np.array([[-2.0, 0.0], [0.0, 2.0]], np.float32), 4)
    assert scores.min() == 0 and scores.max() == 1 and scores[0, 3] == pytest.approx(0.5)
    assert not score_map(np.full((2, 2), 3.0), 4).any()
    with pytest.raises(InputError, match="finite"):
        score_map(np.array([[np.nan, 0]]), 4)


def test_maps_are_enlarged_by_cubic_interpolation_as_pytorch_has_it():
    small = np.random.default_rng(4).normal(size=(7, 7))
    large = F.interpolate(torch.from_numpy(small)[None, None], (56, 56), mode="bicubic", align_corners=False)[0, 0]
    wanted = (large - large.min()) / (large.max() - large.min())
    np.testing.assert_allclose(score_map(small, 56), wanted, atol=1e-6)


def test_truths_move_into_the_square_and_lose_their_fractions():
    # CUB's first test image, 500 x 335: 60, 27, 385, 331.
    assert resized_box((60, 27, 385, 331), (335, 500)) == (26, 18, 172, 221)
