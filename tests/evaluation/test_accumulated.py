"""Means over what exists, and -1 where nothing does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.evaluation.accumulated import (
    Accumulated,
    coco_numbers,
    frequency_group,
    lvis_numbers,
    mean_of_present,
    per_class_numbers,
)


def synthetic_counts(num_classes=3, limits=(1, 10, 100), thresholds=(0.5, 0.75)) -> Accumulated:
    rng = np.random.default_rng(0)
    precision = rng.random((len(thresholds), 101, num_classes, 4, len(limits)))
    recall = rng.random((len(thresholds), num_classes, 4, len(limits)))
    precision[:, :, 1, 2], recall[:, 1, 2] = -1, -1  # the second class has no medium object
    precision[0, :5, 0, 1] = -1
    precision[:, :, :, 3], recall[:, :, 3] = -1, -1  # no class has a large one
    return Accumulated(precision, recall, thresholds, tuple(range(10, 10 + num_classes)), limits)


@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 5))
def test_the_mean_passes_over_missing_entries(values, num_missing):
    mean = mean_of_present(np.array(values + [-1.0] * num_missing))
    np.testing.assert_allclose(mean, np.mean(values) if values else -1, atol=1e-12)


def test_the_coco_numbers_are_the_named_slices():
    counts = synthetic_counts()
    numbers = coco_numbers(counts)
    p, r = counts.precision[..., -1], counts.recall
    assert list(numbers) == [
        "mAP",
        "mAP_50",
        "mAP_75",
        "mAP_s",
        "mAP_m",
        "mAP_l",
        "AR@1",
        "AR@10",
        "AR@100",
        "AR_s@100",
        "AR_m@100",
        "AR_l@100",
    ]
    np.testing.assert_allclose(numbers["mAP"], p[..., 0].mean())
    np.testing.assert_allclose(numbers["mAP_75"], p[1, ..., 0].mean())
    np.testing.assert_allclose(numbers["mAP_m"], p[:, :, [0, 2], 2].mean())
    np.testing.assert_allclose(numbers["AR@10"], r[:, :, 0, 1].mean())
    np.testing.assert_allclose(numbers["AR_m@100"], r[:, [0, 2], 2, -1].mean())
    assert numbers["mAP_l"] == numbers["AR_l@100"] == -1


def test_a_frequency_group_without_classes_is_minus_one():
    counts = synthetic_counts(limits=(300,))
    numbers = lvis_numbers(counts, {10: "r", 11: "f", 12: "f"})
    np.testing.assert_allclose(numbers["APr"], counts.precision[:, :, 0, 0].mean())
    np.testing.assert_allclose(numbers["APf"], counts.precision[:, :, 1:, 0].mean())
    assert numbers["APc"] == -1 and len(numbers) == 13


@pytest.mark.parametrize("count, group", [(0, "r"), (10, "r"), (11, "c"), (100, "c"), (101, "f")])
def test_groups_follow_from_image_counts_where_none_is_written(count, group):
    assert frequency_group({"name": "x", "image_count": count}) == group
    assert frequency_group({"name": "x", "image_count": count, "frequency": "c"}) == "c"
    assert frequency_group({"name": "x"}) is None


def test_each_class_has_its_own_row_in_the_order_of_the_file():
    counts = synthetic_counts()
    rows = per_class_numbers(counts, [{"id": 12, "name": "c"}, {"id": 11, "name": "b", "frequency": "r"}])
    assert [row["name"] for row in rows] == ["c", "b"] and rows[1]["frequency"] == "r"
    np.testing.assert_allclose(rows[0]["AP50"], counts.precision[0, :, 2, 0, -1].mean())
    np.testing.assert_allclose(rows[0]["APm"], counts.average_precision(area="medium", categories=[2]))
    np.testing.assert_allclose(rows[1]["AR"], counts.recall[:, 1, 0, -1].mean())
    first = per_class_numbers(counts, [{"id": 10, "name": "a"}])[0]
    np.testing.assert_allclose(first["APs"], counts.average_precision(area="small", categories=[0]))
    assert rows[1]["APm"] == -1 and rows[0]["APl"] == -1


def test_one_threshold_leaves_out_the_numbers_it_cannot_give():
    numbers = coco_numbers(synthetic_counts(thresholds=(0.6,)))
    assert "mAP_50" not in numbers and "mAP_75" not in numbers and numbers["mAP"] > 0
