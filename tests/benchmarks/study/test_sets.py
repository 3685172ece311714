"""Folds: every image tested once, no image in two parts, what belongs together in one."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from frozen_det.benchmarks.study import sets
from frozen_det.benchmarks.study.sets import (
    NUM_FOLDS,
    StudySet,
    groups_of,
    in_shares,
    in_time,
    joined,
    restricted,
    write_folds,
)
from frozen_det.errors import InputError

CLASSES = 3


def made_set(folder, per_split=(20, 6, 7)):
    """Noise pictures in three splits, whose ids begin anew; the first and the last picture are one, saved twice."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    number = 0
    for split, count in zip(("train", "val", "test"), per_split, strict=True):
        images, annotations = [], []
        for place in range(1, count + 1):
            pixels = draw.integers(0, 256, (32, 40, 3), np.uint8)
            if number == 0:
                first = pixels
            if number == sum(per_split) - 1:
                pixels = first
            cv2.imwrite(str(folder / "images" / f"{number:03d}.png"), pixels)
            images.append(dict(id=place, file_name=f"{number:03d}.png", width=40, height=32))
            annotations.append(
                dict(
                    id=place,
                    image_id=place,
                    category_id=number % CLASSES + 1,
                    bbox=[1, 1, 9, 9],
                    area=81,
                    iscrowd=0,
                )
            )
            number += 1
        categories = [dict(id=one + 1, name=f"c{one}") for one in range(CLASSES)]
        content = dict(images=images, annotations=annotations, categories=categories)
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))


@pytest.mark.parametrize("in_order", [False, True])
def test_every_image_is_tested_once_and_stands_in_one_part_of_a_fold(tmp_path, in_order):
    made_set(tmp_path / "root" / "made")
    one = StudySet("made", "made", 64, "made", in_order)
    tested: Counter = Counter()
    for folder in write_folds(one, tmp_path / "root", tmp_path / "out"):
        parts = {
            split: json.loads((folder / "annotations" / f"{split}.json").read_text())
            for split in ("train", "val", "test")
        }
        names = {split: {image["file_name"] for image in part["images"]} for split, part in parts.items()}
        assert sum(map(len, names.values())) == len(set.union(*names.values())) == 33
        tested.update(names["test"])
        assert all((folder / "images" / name).is_file() for name in names["train"])
        for part in parts.values():
            assert {one["image_id"] for one in part["annotations"]} == {image["id"] for image in part["images"]}
        # The same picture twice, 32 apart: in one part, unless parts are stretches of time.
        homes = {split for split in names if names[split] & {"000.png", "032.png"}}
        assert len(homes) == (2 if in_order else 1)
    assert set(tested.values()) == {1} and len(tested) == 33


def test_a_second_call_reads_what_the_first_wrote(tmp_path, monkeypatch):
    made_set(tmp_path / "root" / "made")
    one = StudySet("made", "made", 64, "made")
    before = [path.read_text() for path in write_folds(one, tmp_path / "root", tmp_path / "out")[0].glob("*/*.json")]
    monkeypatch.setattr(sets, "joined", None)
    again = write_folds(one, tmp_path / "root", tmp_path / "out")
    assert [path.read_text() for path in again[0].glob("*/*.json")] == before


def test_folds_of_other_data_are_not_taken_for_those_of_this(tmp_path):
    made_set(tmp_path / "root" / "made")
    made_set(tmp_path / "other" / "made", (20, 6, 9))
    one = StudySet("made", "made", 64, "made")
    write_folds(one, tmp_path / "root", tmp_path / "out")
    with pytest.raises(InputError, match=f"folds of {tmp_path}/other/made, got those of {tmp_path}/root/made"):
        write_folds(one, tmp_path / "other", tmp_path / "out")
    with pytest.raises(InputError, match="elsewhere/made/annotations/train.json"):
        write_folds(one, tmp_path / "elsewhere", tmp_path / "out")


def test_data_that_moved_are_read_where_they_are(tmp_path):
    made_set(tmp_path / "root" / "made")
    one = StudySet("made", "made", 64, "made")
    write_folds(one, tmp_path / "root", tmp_path / "out")
    (tmp_path / "root").rename(tmp_path / "moved")
    for folder in write_folds(one, tmp_path / "moved", tmp_path / "out"):
        assert (folder / "images").resolve() == tmp_path / "moved" / "made" / "images"


def test_folds_that_do_not_say_what_they_are_from_are_written_anew(tmp_path):
    made_set(tmp_path / "root" / "made")
    made_set(tmp_path / "other" / "made", (20, 6, 9))
    one = StudySet("made", "made", 64, "made")
    write_folds(one, tmp_path / "root", tmp_path / "out")
    (tmp_path / "out" / "made" / "source.json").unlink()
    folders = write_folds(one, tmp_path / "other", tmp_path / "out")
    parts = [json.loads((folder / "annotations" / "test.json").read_text()) for folder in folders]
    assert sum(len(part["images"]) for part in parts) == 35
    assert (folders[0] / "images").resolve() == tmp_path / "other" / "made" / "images"
    assert {path.name for path in folders[0].iterdir()} == {"annotations", "images"}


def test_stretches_of_time_follow_each_other():
    assert in_time([[number] for number in range(7)], 3) == [[[0], [1]], [[2], [3], [4]], [[5], [6]]]


def test_a_rare_class_is_in_every_fold():
    images = [dict(id=number, file_name=f"{number}.png") for number in range(60)]
    annotations = [dict(image_id=number, category_id=2 if number < 6 else 1) for number in range(60)]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1), dict(id=2)])
    for seed in range(5):
        parts = in_shares(content, [[number] for number in range(60)], NUM_FOLDS, seed)
        assert [sum(group[0] < 6 for group in part) for part in parts] == [2, 2, 2]
        assert [len(part) for part in parts] == [20, 20, 20]


def test_splits_are_joined_with_new_ids(tmp_path):
    made_set(tmp_path / "made")
    content = joined(tmp_path / "made")
    assert [image["id"] for image in content["images"]] == list(range(1, 34))
    # The object's class follows the picture's number, in every split.
    numbers = {image["id"]: int(image["file_name"][:3]) for image in content["images"]}
    assert all(one["category_id"] == numbers[one["image_id"]] % CLASSES + 1 for one in content["annotations"])
    assert len(restricted(content, {1, 5})["annotations"]) == 2
    (tmp_path / "made" / "annotations" / "val.json").unlink()
    with pytest.raises(InputError, match="val.json"):
        joined(tmp_path / "made")


def test_pictures_saved_anew_belong_together(tmp_path):
    draw = np.random.default_rng(1)
    first, other = (cv2.resize(draw.integers(0, 256, (8, 8, 3), np.uint8), (64, 64)) for _ in range(2))
    cv2.imwrite(str(tmp_path / "a.png"), first)
    cv2.imwrite(str(tmp_path / "b.jpg"), first, [cv2.IMWRITE_JPEG_QUALITY, 80])
    cv2.imwrite(str(tmp_path / "c.png"), other)
    content = dict(images=[dict(id=number, file_name=name) for number, name in enumerate(("a.png", "b.jpg", "c.png"))])
    assert groups_of(content, tmp_path) == [[0, 1], [2]]
    assert groups_of(content, None) == [[0], [1], [2]]
