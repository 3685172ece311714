"""Toy scenes: what is written is deterministic, complete, reused when the same, and true to its pictures."""

import json
import multiprocessing

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.datasets.readers.polygons import mask_box_xywh, mask_iou, segmentation_mask
from frozen_det.datasets.toy.drawing import _place, draw_scene, load_sources
from frozen_det.datasets.toy.toy_scenes import DIGIT_NAMES, ToyScenes, _plan_labels, write_toy_scenes
from frozen_det.errors import InputError

SMALL = dict(num_train=3, num_val=2, size_hw=(64, 64), object_px=(16, 40), report=lambda _: None)


def _content(root, split="train"):
    return json.loads((root / "annotations" / f"{split}.json").read_text())


def _files(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_same_parameters_give_the_same_bytes(tmp_path):
    assert _files(write_toy_scenes(tmp_path / "a", **SMALL)) == _files(write_toy_scenes(tmp_path / "b", **SMALL))


def test_another_seed_gives_other_pictures(tmp_path):
    first, second = (_files(write_toy_scenes(tmp_path / str(seed), seed=seed, **SMALL)) for seed in (0, 1))
    assert not {v for k, v in first.items() if "images" in k} & {v for k, v in second.items() if "images" in k}


def test_the_tree_and_its_counts(toy_root):
    assert sorted(path.name for path in toy_root.iterdir()) == ["annotations", "images", "manifest.json"]
    assert len(list((toy_root / "images").iterdir())) == 18
    for split, num_images in (("train", 12), ("val", 6)):
        content = _content(toy_root, split)
        assert len(content["images"]) == num_images
        assert [c["name"] for c in content["categories"]] == list(DIGIT_NAMES)
        per_image = np.bincount([a["image_id"] for a in content["annotations"]], minlength=num_images + 1)[1:]
        assert per_image.min() + content["info"]["num_digits_left_out"] >= 2 and per_image.max() <= 7


def test_images_have_the_size_that_the_json_says(toy_root):
    for image in _content(toy_root, "val")["images"]:
        pixels = cv2.imread(str(toy_root / "images" / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3) == (224, 224, 3)


def test_boxes_areas_and_segmentations_describe_one_mask(toy_root):
    content = _content(toy_root)
    for annotation in content["annotations"]:
        mask = segmentation_mask(annotation["segmentation"], (224, 224))
        assert mask_box_xywh(mask) == pytest.approx(annotation["bbox"], abs=1)
        assert np.count_nonzero(mask) == pytest.approx(annotation["area"], rel=0.05)
        assert annotation["bbox"][0] >= 0 and annotation["bbox"][0] + annotation["bbox"][2] <= 224


def test_masks_of_one_image_do_not_overlap_and_what_finds_no_place_is_counted():
    scene = draw_scene(np.random.default_rng(3), load_sources()["train"], list(range(10)) * 3, (224, 224), (40, 90))
    assert np.stack(scene.masks).sum(0).max() == 1
    assert len(scene.labels) == len(scene.masks) == 30 - scene.num_left_out
    assert scene.num_left_out > 0  # thirty large digits do not fit


@pytest.mark.parametrize("height,fits", [(4, True), (5, False), (10, False)])
def test_no_place_is_found_where_more_than_two_fifths_of_a_mask_would_hide(height, fits):
    mask = np.ones((10, 10), bool)  # covers the whole image of 10 x 10 px
    place = _place(np.random.default_rng(0), np.ones((height, 10), bool), [mask], [100], (10, 10))
    assert (place is not None) == fits


def test_the_pixels_of_a_mask_are_the_ones_that_were_painted():
    """A scene with one digit, against the same draws without it: what differs is the digit."""
    sources = load_sources()["train"]
    scene = draw_scene(np.random.default_rng(5), sources, [0], (128, 128), (60, 60))
    empty = draw_scene(np.random.default_rng(5), sources, [], (128, 128), (60, 60))
    difference = abs(scene.image.astype(int) - empty.image).max(-1) > 30
    assert mask_iou(difference, scene.masks[0]) > 0.85
    assert max(mask_box_xywh(scene.masks[0])[2:]) == pytest.approx(60, abs=1.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(64, 200), st.integers(64, 200)))
def test_scenes_of_any_size_hold_digits_of_the_length_requested(seed, size_hw):
    scene = draw_scene(np.random.default_rng(seed), load_sources()["val"], [seed % 10], size_hw, (20, 64))
    assert scene.image.shape == (*size_hw, 3) and scene.image.dtype == np.uint8
    assert 18.5 <= max(mask_box_xywh(scene.masks[0])[2:]) <= 65


def test_splits_share_no_digit_and_no_pixel_of_a_photograph():
    sources = load_sources()
    for train, val in zip(sources["train"].digits, sources["val"].digits):
        assert not {d.tobytes() for d in train} & {d.tobytes() for d in val}
        assert len(val) / (len(train) + len(val)) == pytest.approx(0.3, abs=0.01)
    for train, val in zip(sources["train"].photos, sources["val"].photos):
        assert train.shape[1] + val.shape[1] <= 640 - 12 and not np.shares_memory(train, val)


def test_class_counts_have_a_long_tail_and_a_floor():
    hands = _plan_labels(np.random.default_rng(0), 96, [2, 7], floor=10)
    counts = np.bincount(sum(hands, []))
    assert counts.min() == 10 and counts[0] / counts[9] > 10 and (np.diff(counts) <= 0).all()


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 5), st.integers(0, 40), st.integers(0, 99))
def test_every_image_gets_as_many_digits_as_allowed(num_images, fewest, more, floor, seed):
    hands = _plan_labels(np.random.default_rng(seed), num_images, [fewest, fewest + more], floor)
    assert len(hands) == num_images
    assert all(fewest <= len(hand) <= fewest + more for hand in hands)


def test_category_counts_and_groups_follow_from_the_annotations(toy_root):
    train, val = _content(toy_root), _content(toy_root, "val")
    for content in (train, val):
        for category in content["categories"]:
            mine = [a["image_id"] for a in content["annotations"] if a["category_id"] == category["id"]]
            assert (category["instance_count"], category["image_count"]) == (len(mine), len(set(mine)))
    for category, other in zip(train["categories"], val["categories"]):
        share = category["image_count"] / 12
        group = "r" if share <= 1 / 8 else "c" if share <= 1 / 3 else "f"
        assert category["frequency"] == other["frequency"] == group


def test_absent_classes_are_the_negative_ones_of_each_image(toy_root):
    content = _content(toy_root)
    for image in content["images"]:
        present = {a["category_id"] for a in content["annotations"] if a["image_id"] == image["id"]}
        assert set(image["neg_category_ids"]) == set(range(1, 11)) - present
        assert image["not_exhaustive_category_ids"] == []


def test_a_second_call_reuses_what_is_there(tmp_path):
    root = write_toy_scenes(tmp_path / "s", **SMALL)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    lines = []
    write_toy_scenes(root, **{**SMALL, "report": lines.append})
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before and "reusing" in lines[-1]


def test_the_dataset_tells_what_it_writes_and_is_silent_about_what_is_there(tmp_path, capsys):
    scenes = {key: value for key, value in SMALL.items() if key != "report"}
    for wanted in ("toy scenes: wrote", ""):
        ToyScenes(data_root=str(tmp_path / "s"), scenes=scenes)
        out, err = capsys.readouterr()
        assert wanted in out + err and ("toy scenes:" in out + err) == bool(wanted)


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "images" / "train_00002.jpg").unlink(),
        lambda root: (root / "images" / "val_00001.jpg").write_bytes(b"x"),
        lambda root: (root / "annotations" / "val.json").write_text("{"),
    ],
)
def test_damaged_data_are_written_again(tmp_path, damage):
    root = write_toy_scenes(tmp_path / "s", **SMALL)
    whole = _files(root)
    damage(root)
    assert _files(root) != whole
    write_toy_scenes(root, **SMALL)
    assert _files(root) == whole


def test_other_parameters_write_again_and_leave_nothing_behind(tmp_path):
    root = write_toy_scenes(tmp_path / "s", **SMALL)
    write_toy_scenes(root, **{**SMALL, "num_train": 5})
    assert len(_content(root)["images"]) == 5 and len(list((root / "images").iterdir())) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_folder_that_holds_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else.*data_root"):
        write_toy_scenes(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("frozen_det.datasets.toy.toy_scenes._add_category_counts", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_toy_scenes(tmp_path / "s", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_end_with_one_whole_set(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_toy_scenes, args=(tmp_path / "s",), kwargs=SMALL) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["s"] and len(_content(tmp_path / "s")["images"]) == 3


@pytest.mark.parametrize(
    "wrong,key",
    [
        (dict(num_train=0), "num_train"),
        (dict(size_hw=(32, 64)), "size_hw"),
        (dict(num_objects=(4, 2)), "num_objects"),
        (dict(object_px=(24, 90)), "object_px"),
        (dict(object_px=(2, 20)), "object_px"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(tmp_path, wrong, key):
    with pytest.raises(InputError, match=f"expected {key} to be"):
        write_toy_scenes(tmp_path / "s", **{**SMALL, **wrong})


def test_the_dataset_writes_on_first_use_and_gives_digits(tmp_path):
    scenes = {key: value for key, value in SMALL.items() if key != "report"}
    train, val = (ToyScenes(split, str(tmp_path / "s"), scenes) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 2) and train.metainfo["classes"] == val.metainfo["classes"] == DIGIT_NAMES


def test_the_dataset_names_the_closest_parameter():
    with pytest.raises(InputError, match="'num_trian'; did you mean 'num_train'"):
        ToyScenes("train", "nowhere", dict(num_trian=3))
    with pytest.raises(InputError, match="split to be one of train, val"):
        ToyScenes("test")


def test_the_default_set_has_every_class_in_validation_often_enough(tmp_path):
    content = _content(write_toy_scenes(tmp_path / "s", num_train=1, report=lambda _: None), "val")
    assert len(content["images"]) == 96
    assert min(category["instance_count"] for category in content["categories"]) >= 8


def test_scenes_that_are_built_lazily_name_their_classes_and_are_written_when_they_are_asked_for(tmp_path):
    scenes, root = dict(num_train=3, num_val=2, size_hw=(64, 64), object_px=(20, 32)), tmp_path / "s"
    val = ToyScenes("val", str(root), scenes, lazy_init=True, test_mode=True)
    assert val.metainfo["classes"] == DIGIT_NAMES and not root.exists()
    val.full_init()
    assert len(val) == 2 and (root / "manifest.json").is_file()
    with pytest.raises(InputError, match="did you mean 'three'"):
        ToyScenes("val", str(root), scenes, lazy_init=True, metainfo=dict(classes=("one", "tree")))
