"""What was found as a picture, as COCO's annotations and for supervision."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.inference.detections import Detections
from frozen_det.inference.joining import join
from frozen_det.inference.pictures import Picture

MASKS = np.zeros((2, 40, 60), bool)
MASKS[0, 10:20, 5:25] = MASKS[1, 30:32, 30:33] = True
FOUND = Detections(
    np.array([[5.0, 10.0, 25.0, 20.0], [30.0, 30.0, 33.0, 34.0]]),
    np.array([0.75, 0.25]),
    np.array([1, 0]),
    ("ant", "zebra"),
    MASKS,
    category_ids=(7, 90),
    size_hw=(40, 60),
    picture=Picture(None, np.full((40, 60, 3), (0, 0, 200), np.uint8)),
)


def test_annotations_are_cocos_with_the_users_ids_and_masks_as_run_lengths():
    from pycocotools.mask import decode

    first, second = FOUND.to_coco(image_id=3, first_id=11)
    masks = [decode(one.pop("segmentation")) for one in (first, second)]
    assert np.array_equal(masks, MASKS)
    assert first == dict(id=11, image_id=3, category_id=90, bbox=[5.0, 10.0, 20.0, 10.0], area=200, score=0.75)
    assert second == dict(id=12, image_id=3, category_id=7, bbox=[30.0, 30.0, 3.0, 4.0], area=6, score=0.25)


def test_without_masks_and_ids_areas_are_the_boxes_and_ids_count_from_1():
    found = Detections(FOUND.boxes_xyxy, FOUND.scores, FOUND.labels, FOUND.classes).to_coco()
    assert [(one["area"], one["category_id"]) for one in found] == [(200.0, 2), (12.0, 1)]
    assert "segmentation" not in found[0]


def test_names_and_classes_choose():
    assert FOUND.names == ["zebra", "ant"] and len(FOUND) == 2
    kept = FOUND.of_classes("ant")
    assert kept.names == ["ant"] and kept.masks.sum() == 6 and kept.category_ids == (7, 90)
    with pytest.raises(InputError, match=r"among \['ant', 'zebra'\], got 'zebr'. did you mean 'zebra'"):
        FOUND.of_classes(["zebr"])


def test_the_plot_is_the_image_at_its_size_with_what_reaches_the_score():
    picture = FOUND.plot(score=0.5)
    assert isinstance(picture, Image.Image) and picture.size == (60, 40)
    pixels = np.asarray(picture)
    assert tuple(pixels[39, 59]) == (200, 0, 0)  # red: the pixels were given blue first
    assert tuple(pixels[19, 15]) != (200, 0, 0) and tuple(pixels[31, 31]) == (200, 0, 0)
    assert not np.array_equal(pixels, np.asarray(FOUND.plot(score=0.2)))
    with pytest.raises(InputError, match="to draw on their image, got some without it"):
        Detections(FOUND.boxes_xyxy, FOUND.scores, FOUND.labels, FOUND.classes).plot()


def test_supervision_gets_all_columns():
    supervision = pytest.importorskip("supervision")
    found = FOUND.to_supervision()
    assert isinstance(found, supervision.Detections)
    assert np.array_equal(found.xyxy, FOUND.boxes_xyxy) and np.array_equal(found.mask, MASKS)
    assert found.class_id.tolist() == [1, 0] and found.confidence.tolist() == [0.75, 0.25]
    assert found.data["class_name"].tolist() == ["zebra", "ant"]
    assert len(FOUND.above(0.9).to_supervision()) == 0


def test_without_supervision_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(
        InputError, match="expected the package supervision, .*pip install .frozen-det\\[supervision\\]"
    ):
        FOUND.to_supervision()


def test_joined_detections_keep_ids_that_agree_and_count_anew_where_they_do_not():
    other = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ("bee",), category_ids=(8,))
    assert join({"a": FOUND, "b": other}).category_ids == (7, 90, 8)
    for ids in ((7,), None):
        same = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ("bee",), category_ids=ids)
        assert join({"a": FOUND, "b": same}).ids_of_classes == (1, 2, 3)


def test_it_is_drawn_from_the_suggested_score_on_unless_another_is_given():
    def pixels(score=None, **changes):
        return np.asarray(replace(FOUND, **changes).plot(score))

    assert np.array_equal(pixels(threshold=0.5), pixels(0.5)) and not np.array_equal(pixels(0.5), pixels(0.2))
    assert np.array_equal(pixels(0.2, threshold=0.5), pixels(0.2))
    assert np.array_equal(pixels(), pixels(0.3))
