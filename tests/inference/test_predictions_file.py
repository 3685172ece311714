"""What was detected is on disk as it goes, and COCO's json whatever ends the work."""

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from frozen_det.errors import StorageError
from frozen_det.inference.detections import Detections
from frozen_det.inference.predictions_file import PredictionsFile

FOUND = Detections(np.array([[1.0, 2.0, 4.0, 8.0]]), np.array([0.5]), np.array([1]), ("a", "b"))
NOTHING = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ("a", "b"))


def test_the_json_is_cocos_and_the_lines_are_gone(tmp_path):
    with PredictionsFile(tmp_path / "out" / "predictions.json", ("a", "b")) as written:
        written.add("x.jpg", (30, 20), FOUND)
        written.add("y.jpg", (31, 21), NOTHING)
    assert json.loads(written.path.read_text()) == {
        "images": [
            {"id": 1, "file_name": "x.jpg", "width": 30, "height": 20},
            {"id": 2, "file_name": "y.jpg", "width": 31, "height": 21},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "score": 0.5, "bbox": [1.0, 2.0, 3.0, 6.0], "area": 18.0}
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    assert [path.name for path in written.path.parent.iterdir()] == ["predictions.json"]


def test_ids_of_annotations_go_on_and_those_of_categories_are_the_users(tmp_path):
    found = replace(FOUND, category_ids=(7, 90))
    with PredictionsFile(tmp_path / "p.json", ("a", "b"), (7, 90)) as written:
        written.add("x.jpg", (30, 20), found)
        written.add("y.jpg", (30, 20), found)
    content = json.loads(written.path.read_text())
    assert [(one["id"], one["category_id"]) for one in content["annotations"]] == [(1, 90), (2, 90)]
    assert content["categories"] == [{"id": 7, "name": "a"}, {"id": 90, "name": "b"}]


def test_without_a_picture_it_is_an_empty_json(tmp_path):
    with PredictionsFile(tmp_path / "p.json", ("a",)):
        pass
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "a"}],
    }


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_leaves_the_json_of_what_was_done(tmp_path, ending):
    with pytest.raises(ending) as end, PredictionsFile(tmp_path / "p.json", ("a", "b")) as written:
        written.add("x.jpg", (30, 20), FOUND)
        raise ending
    assert len(json.loads((tmp_path / "p.json").read_text())["images"]) == 1
    assert end.value.on_disk == f"On disk: 1 pictures in {tmp_path / 'p.json'}."


def test_a_kill_leaves_a_line_for_each_picture(tmp_path):
    pid = os.fork()
    if pid == 0:
        with PredictionsFile(tmp_path / "p.json", ("a", "b")) as written:
            written.add("x.jpg", (30, 20), FOUND)
            (tmp_path / "told").touch()
            time.sleep(60)
    while not (tmp_path / "told").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert json.loads((tmp_path / "p.jsonl").read_text())[0]["file_name"] == "x.jpg"
    assert not (tmp_path / "p.json").exists()


def test_a_full_disk_keeps_the_lines_and_an_earlier_json(tmp_path, monkeypatch):
    (tmp_path / "p.json").write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(StorageError, match="could not write .*p.json: No space"),
        PredictionsFile(tmp_path / "p.json", ("a", "b")) as written,
    ):
        written.add("x.jpg", (30, 20), FOUND)
    assert (tmp_path / "p.json").read_text() == "old" and len((tmp_path / "p.jsonl").read_text().splitlines()) == 1
