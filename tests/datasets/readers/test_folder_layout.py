"""A user's data are found in every tree that is named, converted once, and refused with the trees otherwise."""

import json
import os

import pytest

from frozen_det.datasets.readers.annotation_check import read_annotations
from frozen_det.datasets.readers.folder_layout import resolve_user_data
from frozen_det.errors import InputError

from .test_conversion import write_image, write_labels, write_voc


def _write_json(path, name="a.jpg", num_images=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": f"{i}{name}" if num_images > 1 else name, "height": 100, "width": 200}
                    for i in range(num_images)
                ],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81}
                    for i in range(num_images)
                ],
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    )


def _sizes(splits) -> dict:
    return {split: len(read_annotations(path)["images"]) for split, (path, _) in splits.items()}


def _check_images_are_there(splits):
    for path, images_dir in splits.values():
        for image in read_annotations(path)["images"]:
            assert (images_dir / image["file_name"]).is_file()


def test_the_default_tree(tmp_path):
    for split in ("train", "val", "test"):
        _write_json(tmp_path / f"annotations/{split}.json")
    (tmp_path / "images").mkdir()
    splits = resolve_user_data(tmp_path)
    assert splits == {s: (tmp_path / f"annotations/{s}.json", tmp_path / "images") for s in ("train", "val", "test")}


@pytest.mark.parametrize("folder", ["images/val", "val", "images/valid"])
def test_images_in_a_folder_of_the_split(tmp_path, folder):
    for split in ("train", "val"):
        _write_json(tmp_path / f"annotations/{split}.json", f"{split}.jpg")
    write_image(tmp_path / folder / "val.jpg")
    write_image(tmp_path / folder.replace("valid", "train").replace("val", "train") / "train.jpg")
    _check_images_are_there(resolve_user_data(tmp_path))


def test_json_beside_the_images_of_each_split(tmp_path):
    for split in ("train", "valid"):
        _write_json(tmp_path / split / "_annotations.coco.json")
        write_image(tmp_path / split / "a.jpg")
    splits = resolve_user_data(tmp_path)
    assert set(splits) == {"train", "val"}
    _check_images_are_there(splits)


@pytest.mark.parametrize("place", ["anything.json", "annotations/instances.json", "annotations/train.json"])
def test_a_single_json_is_split_by_seed(tmp_path, place):
    _write_json(tmp_path / place, num_images=20)
    (tmp_path / "images").mkdir()
    splits = resolve_user_data(tmp_path, val_share=0.25)
    assert _sizes(splits) == {"train": 15, "val": 5} and splits["val"][1] == tmp_path / "images"
    first = splits["val"][0].read_bytes()
    assert resolve_user_data(tmp_path, val_share=0.25)["val"][0].read_bytes() == first
    assert resolve_user_data(tmp_path, val_share=0.25, seed=1)["val"][0].read_bytes() != first


@pytest.mark.parametrize("folders", [("Annotations", "JPEGImages"), ("annotations", "images"), ("xml", "xml")])
def test_pascal_voc_is_converted_and_split_by_seed(tmp_path, folders):
    for name in "abcdefghij":
        write_image(tmp_path / folders[1] / f"{name}.jpg")
        write_voc(tmp_path / folders[0] / f"{name}.xml", [("cat", 5, 5, 50, 50, 0)])
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == {"train": 8, "val": 2}
    _check_images_are_there(splits)


def test_pascal_voc_follows_its_lists(tmp_path):
    for name in "abcdef":
        write_image(tmp_path / f"JPEGImages/{name}.jpg")
        write_voc(tmp_path / f"Annotations/{name}.xml", [("cat" if name == "a" else "dog", 5, 5, 50, 50, 0)])
    write_labels(tmp_path / "ImageSets/Main/train.txt", "a", "c")
    write_labels(tmp_path / "ImageSets/Main/val.txt", "b", "d", "e", "f")
    splits = resolve_user_data(tmp_path)
    contents = {split: read_annotations(path) for split, (path, _) in splits.items()}
    assert [i["file_name"] for i in contents["train"]["images"]] == ["a.jpg", "c.jpg"]
    assert contents["train"]["categories"] == contents["val"]["categories"] and len(contents["val"]["images"]) == 4


def test_pascal_voc_without_images_says_where_they_should_be(tmp_path):
    write_voc(tmp_path / "Annotations/a.xml", [])
    with pytest.raises(InputError, match="in JPEGImages/ or images/ of"):
        resolve_user_data(tmp_path)


@pytest.fixture
def yolo(tmp_path):
    """images/{train,val} with labels; 3 and 2 images."""
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            write_image(tmp_path / f"images/{split}/{i}.jpg")
            write_labels(tmp_path / f"labels/{split}/{i}.txt", f"{i % 2} 0.5 0.5 0.2 0.2")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nval: images/val\nnames: [cat, dog]",
        "path: .\ntrain: images/train\nval: [images/val]\nnames: {1: dog, 0: cat}",
        "train: ../images/train\nval: ../images/val\nnc: 2\nnames: [cat, dog]",
        "train: train.txt\nval: images/val\nnames: [cat, dog]",
    ],
)
def test_yolo_follows_its_yaml(yolo, text):
    (yolo / "data.yaml").write_text(text)
    write_labels(yolo / "train.txt", *(f"images/train/{i}.jpg" for i in range(3)))
    splits = resolve_user_data(yolo)
    assert _sizes(splits) == {"train": 3, "val": 2}
    assert [c["name"] for c in read_annotations(splits["val"][0])["categories"]] == ["cat", "dog"]
    assert [a["category_id"] for a in read_annotations(splits["train"][0])["annotations"]] == [1, 2, 1]
    _check_images_are_there(splits)


def test_yolo_with_a_list_of_classes_and_folders(yolo):
    write_labels(yolo / "classes.txt", "cat", "dog")
    assert _sizes(resolve_user_data(yolo)) == {"train": 3, "val": 2}


def test_flat_yolo_is_split_by_seed(tmp_path):
    for i in range(10):
        write_image(tmp_path / f"images/{i}.jpg")
        write_labels(tmp_path / f"labels/{i}.txt", "0 0.5 0.5 0.2 0.2")
    write_labels(tmp_path / "classes.txt", "cat")
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == {"train": 8, "val": 2}
    _check_images_are_there(splits)


def test_a_yaml_that_points_nowhere_is_refused(yolo):
    (yolo / "data.yaml").write_text("train: pictures\nval: images/val\nnames: [cat, dog]")
    with pytest.raises(InputError, match="images of 'train' at 'pictures'"):
        resolve_user_data(yolo)


def test_conversion_happens_once_and_again_when_the_data_change(yolo, log_lines):
    write_labels(yolo / "classes.txt", "cat", "dog")
    path = resolve_user_data(yolo)["train"][0]
    written = path.stat().st_mtime_ns
    assert resolve_user_data(yolo)["train"][0].stat().st_mtime_ns == written and len(log_lines) == 1
    write_labels(yolo / "labels/train/0.txt", "0 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.00001 0.2")
    os.utime(yolo / "labels/train/0.txt", (1, 1))
    assert resolve_user_data(yolo)["train"][0].stat().st_mtime_ns != written
    assert "coco_train.json (3 images, 3 objects)" in log_lines[1]
    assert log_lines[1].endswith("counted: 1 boxes below 1 px or outside their image")


def test_nothing_is_left_beside_the_json(yolo):
    write_labels(yolo / "classes.txt", "cat", "dog")
    resolve_user_data(yolo)
    assert sorted(path.name for path in yolo.iterdir() if path.name not in ("images", "labels", "classes.txt")) == [
        "coco_manifest.json",
        "coco_train.json",
        "coco_val.json",
    ]


def test_an_unknown_tree_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError) as error:
        resolve_user_data(tmp_path)
    for part in ("a folder with pictures/", "annotations/{train,val}.json", "JPEGImages/", "data.yaml"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="got nothing there"):
        resolve_user_data(tmp_path / "nowhere")
    with pytest.raises(InputError, match="val_share between 0 and 1"):
        resolve_user_data(tmp_path, val_share=1)


def test_two_json_files_of_unknown_names_are_refused(tmp_path):
    _write_json(tmp_path / "first.json"), _write_json(tmp_path / "second.json")
    with pytest.raises(InputError, match="first.json, second.json"):
        resolve_user_data(tmp_path)


def test_the_real_default_tree(real_data):
    assert _sizes(resolve_user_data(real_data / "bccd")) == {"train": 205, "val": 87, "test": 72}
