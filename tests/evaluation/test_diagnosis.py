"""What is right, wrong or neither, what is confused with what, and which labels are doubtful: small cases by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation.diagnosis import Diagnosis
from frozen_det.evaluation.evaluated_pass import read_pass
from tests.evaluation.passes import CAT, DOG, HERE, THERE, evaluated, truth_dict


def diagnosed(*args, **others):
    return Diagnosis(evaluated(*args, **others))


def test_a_match_is_right_a_second_one_wrong_and_one_in_a_crowd_neither():
    found = diagnosed(
        [("a", CAT, HERE, 0), ("a", CAT, THERE, 1)],
        [("a", CAT, HERE, 0.9), ("a", CAT, HERE, 0.8), ("a", CAT, [55, 55, 5, 5], 0.7), ("b", DOG, HERE, 0.6)],
    )
    assert found.status.tolist() == [1, 0, -1, 0]
    assert found.num_objects.tolist() == [1, 0]
    assert found.curves[1] is None  # no dog to be found
    assert found.curve.best.threshold == 0.9 and found.curve.best.f1 == 1.0


def test_confusions_count_rows_as_annotated_and_columns_as_detected():
    found = diagnosed(
        [("a", CAT, HERE, 0), ("a", DOG, THERE, 0), ("b", DOG, HERE, 0)],
        [("a", CAT, HERE, 0.9), ("a", CAT, THERE, 0.8), ("b", CAT, THERE, 0.7)],
    )
    assert found.names == ["cat", "dog"]
    assert found.confusion(0.5).tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0]]
    assert found.confusion(0.75).tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert found.confusion(0.95).tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 0]]


def test_an_object_of_its_own_class_comes_before_one_that_overlaps_more():
    """Two objects one over the other, both found: hotcoco's own matrix has them confused."""
    found = diagnosed(
        [("a", CAT, [0, 0, 10, 10], 0), ("a", DOG, [0, 0, 10, 9], 0)],
        [("a", DOG, [0, 0, 10, 9.9], 0.9), ("a", CAT, [0, 0, 10, 9.1], 0.8)],
    )
    assert found.status.tolist() == [1, 1]
    assert found.confusion(0.5).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_detection_in_a_crowd_takes_no_part_in_confusions():
    found = diagnosed([("a", CAT, HERE, 1)], [("a", CAT, [12, 12, 5, 5], 0.9)])
    assert found.confusion(0.0).sum() == 0


def test_images_that_were_not_shown_count_for_nothing():
    found = diagnosed([("a", CAT, HERE, 0), ("b", CAT, HERE, 0)], [("a", CAT, HERE, 0.9)], image_ids=["a"])
    assert found.num_objects.tolist() == [1, 0]
    assert found.confusion(0.5).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_each_kind_of_error_is_counted_from_a_score_on():
    found = diagnosed(
        [("a", CAT, HERE, 0), ("b", CAT, HERE, 0), ("b", CAT, [70, 0, 20, 20], 0)],
        [
            ("a", CAT, HERE, 0.9),
            ("a", CAT, HERE, 0.8),  # a second time
            ("a", DOG, THERE, 0.7),  # nothing there
            ("b", DOG, HERE, 0.6),  # wrong class
            ("b", CAT, [80, 0, 20, 20], 0.5),  # IoU 1/3
            ("a", DOG, THERE, 0.1),
        ],
    )
    counts = found.errors(0.5)["counts"]
    assert counts == {"Cls": 1, "Loc": 1, "Both": 0, "Dupe": 1, "Bkg": 1, "Miss": 0}
    assert found.errors(0.65)["counts"] == {"Cls": 0, "Loc": 0, "Both": 0, "Dupe": 1, "Bkg": 1, "Miss": 2}


def test_calibration_compares_scores_with_the_share_that_is_right():
    found = diagnosed(
        [("a", CAT, HERE, 0), ("b", CAT, THERE, 1)],
        [("a", CAT, HERE, 0.85), ("a", CAT, THERE, 0.85), ("b", CAT, [52, 52, 5, 5], 0.85)],
    ).calibration()
    assert found["num_detections"] == 2  # the one in the crowd is neither
    assert found["ece"] == pytest.approx(0.35)


def test_doubtful_labels_name_a_wrong_class_and_a_missing_object_once_and_none_in_a_crowd():
    found = diagnosed(
        [("a", DOG, HERE, 0), ("b", DOG, THERE, 1)],
        [
            ("a", CAT, HERE, 0.9),
            ("a", CAT, THERE, 0.95),
            ("a", DOG, THERE, 0.94),  # the same place
            ("b", CAT, [52, 52, 5, 5], 0.99),  # in a crowd of dogs
            ("b", CAT, HERE, 0.2),
        ],
    ).doubtful_labels(0.5)
    assert [one.why for one in found] == ["cat (0.95) where nothing is annotated", "cat (0.90) where dog is annotated"]
    assert [one.image_id for one in found] == ["a", "a"]
    assert found[1].annotated_box_xywh.tolist() == HERE and found[0].annotated_box_xywh is None


def test_by_lvis_rules_a_class_that_an_image_is_not_judged_for_counts_for_nothing():
    found = diagnosed(
        [("a", CAT, HERE, 0)],
        [("a", CAT, HERE, 0.9), ("a", CAT, THERE, 0.8), ("a", DOG, THERE, 0.7), ("b", CAT, HERE, 0.6)],
        federated=True,
        neg_category_ids=[],
        not_exhaustive_category_ids=[CAT],
    )
    assert found.status.tolist() == [1, -1, -1, -1]


@pytest.mark.parametrize("objects, found", [([("a", CAT, HERE, 0)], []), ([], [("a", CAT, HERE, 0.9)]), ([], [])])
def test_nothing_found_or_nothing_to_find_is_no_fault(objects, found):
    one = diagnosed(objects, found)
    assert one.confusion(0.5).sum() == len(objects) + len(found)
    assert sum(one.errors(0.5)["counts"].values()) == len(objects) + len(found)
    assert one.calibration()["num_detections"] == len(found)
    assert (one.curve and one.curve.best) is None


def test_a_pass_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    boxes = rng.random((50, 4)).astype(np.float32).astype(float) * 40
    written = evaluated(
        [("a", CAT, HERE, 0)], [("b", DOG, box.tolist(), float(score)) for box, score in zip(boxes, rng.random(50))]
    )
    written.write(tmp_path / "best.npz", stage="val", iter=12)
    read = read_pass(tmp_path / "best.npz")
    assert read.facts == {"stage": "val", "iter": 12}
    assert (read.image_ids, read.category_ids, read.federated) == (["a", "b"], [CAT, DOG], False)
    assert read.detections.image_ids.tolist() == ["b"] * 50 and read.detections.category_ids.tolist() == [DOG] * 50
    assert read.detections.scores.tolist() == written.detections.scores.tolist()
    np.testing.assert_allclose(read.detections.boxes_xywh, written.detections.boxes_xywh, rtol=0, atol=1e-13)
    assert read.truth.dataset == written.truth.dataset


def test_a_pass_whose_annotations_were_changed_since_is_refused(tmp_path):
    path = tmp_path / "val.json"
    path.write_text(json.dumps(truth_dict([("a", CAT, HERE, 0)])))
    given = evaluated([("a", CAT, HERE, 0)], [("a", CAT, HERE, 0.9)])
    replace(given, ann_file=str(path), content=None).write(tmp_path / "best.npz")
    assert read_pass(tmp_path / "best.npz").detections.image_ids.tolist() == ["a"]
    path.write_text(json.dumps(truth_dict([("b", CAT, HERE, 0)])))
    with pytest.raises(InputError, match="val.json was changed since"):
        read_pass(tmp_path / "best.npz")
    path.unlink()
    with pytest.raises(InputError, match="got none at .*val.json"):
        read_pass(tmp_path / "best.npz")


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04"])
def test_another_file_is_no_pass(tmp_path, content):
    (tmp_path / "best.npz").write_bytes(content)
    with pytest.raises(InputError, match="evaluated pass 1"):
        read_pass(tmp_path / "best.npz")
