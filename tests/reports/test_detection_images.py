"""Best and worst images by F1, from stored detections, drawn where the images are."""

import json

import numpy as np
import pytest
from PIL import Image

from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.stored_results import write_stored
from frozen_det.reports.detection_images import best_and_worst, iou_xywh, ranked
from frozen_det.reports.run_record import read_run

from .conftest import write_work_dir


def test_overlap_of_boxes():
    assert iou_xywh([0, 0, 10, 10], [5, 0, 10, 10]) == pytest.approx(1 / 3)
    assert iou_xywh([0, 0, 10, 10], [10, 0, 5, 5]) == 0 == iou_xywh([0, 0, 0, 0], [0, 0, 0, 0])
    assert iou_xywh([1, 2, 3, 4], [1, 2, 3, 4]) == 1


def truth(*boxes) -> dict:
    """(image, category, box, crowd) of each object."""
    return {
        "categories": [dict(id=3, name="cat"), dict(id=8, name="dog")],
        "annotations": [
            dict(id=i, image_id=image, category_id=category, bbox=box, iscrowd=crowd)
            for i, (image, category, box, crowd) in enumerate(boxes)
        ],
    }


def detections(*rows) -> Detections:
    """(image, category, box, score) of each."""
    images, categories, boxes, scores = zip(*rows)
    return Detections(np.array(images), np.array(boxes, float), np.array(scores), np.array(categories))


BOX, NEAR, FAR = [10, 10, 20, 20], [12, 10, 20, 20], [40, 40, 10, 10]


def test_images_rank_by_f1_and_crowds_and_other_classes_do_not_match():
    objects = truth(
        (1, 3, BOX, 0), (2, 3, BOX, 0), (2, 8, FAR, 0), (3, 3, BOX, 0), (4, 3, BOX, 1), (5, 3, BOX, 0), (5, 8, FAR, 0)
    )
    found = detections(
        (1, 3, NEAR, 0.9),
        (1, 3, BOX, 0.8),  # one object, twice: the second is too much
        (2, 3, BOX, 0.9),
        (2, 8, FAR, 0.5),
        (3, 8, BOX, 0.9),
        (4, 3, BOX, 0.9),
        (5, 8, FAR, 0.4),
    )
    scores = ranked(objects, found)
    assert [(one.image_id, round(one.f1, 3)) for one in scores] == [(2, 1.0), (5, 0.667), (1, 0.667), (3, 0.0)]
    assert (scores[2].num_objects, scores[2].num_predictions, scores[2].num_matched) == (1, 2, 1)


def test_a_prediction_takes_the_object_it_fits_best():
    objects = truth((1, 3, BOX, 0), (1, 3, [16, 10, 20, 20], 0))
    found = detections((1, 3, [15, 10, 20, 20], 0.9), (1, 3, [9, 10, 20, 20], 0.8))
    assert ranked(objects, found)[0].num_matched == 2


@pytest.fixture
def run(tmp_path):
    """A work directory with stored detections over six images, and a config that finds the images."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    images = [dict(id=i, file_name=f"{i}.jpg", width=64, height=64) for i in range(1, 7)]
    for image in images:
        Image.fromarray(np.full((64, 64, 3), 30 * image["id"], np.uint8)).save(root / "images" / image["file_name"])
    content = {**truth(*((i, 3, BOX, 0) for i in range(1, 7))), "images": images}
    content["annotations"] = [dict(one, area=400) for one in content["annotations"]]
    (root / "val.json").write_text(json.dumps(content))
    text = (
        f"test_dataloader = dict(dataset=dict(type='frozen_det.CocoDataset', ann_file='val.json', "
        f"data_root={str(root)!r}, test_mode=True))\n"
    )
    write_work_dir(tmp_path / "run", config=text)
    found = detections(*((i, 3, BOX, 0.9) for i in (1, 2, 3)), (4, 3, FAR, 0.9), (5, 3, BOX, 0.1), (6, 3, FAR, 0.2))
    write_stored(tmp_path / "run" / "detections" / "test", found, {"iou_types": ["bbox"]}, str(root / "val.json"), None)
    return read_run(tmp_path / "run")


def test_the_best_and_the_worst_images_are_drawn(run, tmp_path):
    text, pairs = best_and_worst(run, tmp_path / "files", "frozen", count=2)
    assert "frozen: the best and worst of 6 test images" in text.text
    assert [pair.caption.split(":")[0] for pair in pairs.pairs] == ["1.jpg", "2.jpg", "5.jpg", "6.jpg"]
    assert "F1 1.00, 1 object, 1 prediction, 1 matched" in pairs.pairs[0].caption
    assert "F1 0.00, 1 object, 0 predictions, 0 matched" in pairs.pairs[2].caption  # scores below the threshold
    assert all(tmp_path / "files" in pair.path.parents and pair.path.is_file() for pair in pairs.pairs)
    assert Image.open(pairs.pairs[0].path).width > 2 * 300


def test_few_images_are_shown_once(run, tmp_path):
    assert len(best_and_worst(run, tmp_path / "files", count=4)[1].pairs) == 6


def test_images_that_are_gone_are_said_to_be_missing(run, tmp_path):
    (tmp_path / "data" / "images" / "3.jpg").unlink()
    assert best_and_worst(run, tmp_path / "files") == []
    assert any("best and worst images (" in one for one in run.missing)


def test_a_run_that_stored_nothing_shows_nothing(work_dir, tmp_path):
    run = read_run(work_dir)
    assert best_and_worst(run, tmp_path) == [] and not any("best and worst" in one for one in run.missing)
