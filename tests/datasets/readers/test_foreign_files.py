"""What other programs leave in a data set's folders: hidden files are passed over, their exports are read, what is no
file is refused at once, and what a conversion takes for granted is counted."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.images.head import read_head
from frozen_det.datasets.readers.folder_layout import resolve_user_data
from frozen_det.errors import InputError

from ..images.test_head import _oriented
from .test_conversion import write_image, write_labels, write_voc
from .test_folder_layout import _check_images_are_there, _sizes
from .test_trees import SPLITS, _coco

pytestmark = pytest.mark.usefixtures("mmdet_scope")

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]
BOX = [("cat", 11, 21, 40, 50, 0)]
MACS = b"\0\5\x16\7\0\2\0\0Mac OS X"


def _yolo(root, row="0 0.5 0.5 0.5 0.5", exif=None):
    for split, count in SPLITS:
        for i in range(count):
            path = root / f"images/{split}/{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30)).save(path, **({"exif": exif} if exif else {}))
            write_labels(root / f"labels/{split}/{i}.txt", row)
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    return root


def _counted(root) -> dict:
    resolve_user_data(root)
    return json.loads((root / "coco_train.json").read_text())["info"]["dropped"]


def test_hidden_files_are_no_data(tmp_path):
    _yolo(tmp_path)
    (tmp_path / "images/train/._0.jpg").write_bytes(MACS)
    (tmp_path / "labels/train/._0.txt").write_bytes(MACS)
    write_image(tmp_path / "images/train/.ipynb_checkpoints/0-checkpoint.jpg")
    assert _counted(tmp_path) == {}
    assert _sizes(resolve_user_data(tmp_path)) == {"train": 3, "val": 2}


def test_hidden_xml_is_no_annotation(tmp_path):
    for i in range(5):
        write_voc(tmp_path / f"Annotations/{i}.xml", BOX, f"{i}.jpg")
        write_image(tmp_path / f"JPEGImages/{i}.jpg")
    (tmp_path / "Annotations/._0.xml").write_bytes(MACS)
    assert _sizes(resolve_user_data(tmp_path)) == {"train": 4, "val": 1}


def test_cvat_s_list_of_a_task_is_split_by_seed(tmp_path):
    for i in range(5):
        write_voc(tmp_path / f"Annotations/{i}.xml", BOX, f"{i}.jpg")
        write_image(tmp_path / f"JPEGImages/{i}.jpg")
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/default.txt").write_text("0\n1\n2\n3\n")
    assert _sizes(resolve_user_data(tmp_path)) == {"train": 3, "val": 1}


def test_fiftyone_s_folder_of_images_is_found(tmp_path):
    _coco(tmp_path, "labels.json", "data", 5)
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == {"train": 4, "val": 1}
    _check_images_are_there(splits)


def test_turns_by_exif_are_counted_where_no_size_confirms_them(tmp_path):
    assert _counted(_yolo(tmp_path, exif=_oriented(6))) == {
        "images turned or mirrored by EXIF; boxes are taken to be those of the picture as it is shown": 3
    }


@pytest.mark.parametrize("row,count", [("0 0.5 0.5 0.5 0.5", 0), ("0 0.52 0.5 1 1", 0), ("0 0.6 0.5 1 0.5", 3)])
def test_boxes_that_are_cut_by_more_than_a_pixel_are_counted(tmp_path, row, count):
    assert _counted(_yolo(tmp_path, row)).get("boxes sticking out of their image, cut at its border", 0) == count


def test_numbers_with_underscores_are_none(tmp_path):
    with pytest.raises(InputError, match=r"0.txt:1: expected `class x y width height`.* got '0_0 0.5 0.5 0.5 0.5'"):
        resolve_user_data(_yolo(tmp_path, "0_0 0.5 0.5 0.5 0.5"))


def test_an_object_with_two_boxes_is_refused(tmp_path):
    write_image(tmp_path / "JPEGImages/a.jpg")
    write_voc(tmp_path / "Annotations/a.xml", BOX, "a.jpg")
    text = (tmp_path / "Annotations/a.xml").read_text()
    box = text[text.index("<bndbox>") : text.index("</bndbox>") + len("</bndbox>")]
    (tmp_path / "Annotations/a.xml").write_text(text.replace(box, box + box, 1))
    with pytest.raises(InputError, match=r"a\.xml: expected one bndbox in each object, got 2"):
        resolve_user_data(tmp_path)


def test_a_file_in_place_of_the_folder_is_named_as_one(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="expected a folder with data at .*, got a file; unpack archives"):
        resolve_user_data(tmp_path / "data.zip")


def test_an_annotation_file_that_is_a_folder_is_not_passed_over_for_another_split_s(tmp_path):
    _coco(tmp_path, "annotations/val.json", "images", 3)
    (tmp_path / "annotations/train.json").mkdir()
    with pytest.raises(InputError, match=r"annotations/train\.json"):
        CocoDataset(split="train", data_root=str(tmp_path), pipeline=LOAD)


def test_a_pipe_among_the_images_is_refused_instead_of_waited_on(coco_root):
    root = coco_root()
    dataset = CocoDataset("annotations/train.json", data_root=str(root), pipeline=LOAD)
    (root / "images/b.jpg").unlink()
    os.mkfifo(root / "images/b.jpg")
    with pytest.raises(OSError, match="a folder, a pipe or a device"):
        read_head(root / "images/b.jpg")
    with pytest.raises(InputError, match=r"b\.jpg: it is a folder, a pipe or a device"):
        CocoDataset("annotations/train.json", data_root=str(root), pipeline=LOAD)
    with pytest.raises(InputError, match=r"b\.jpg: it is a folder, a pipe or a device"):
        dataset[1]


def test_the_spelling_of_mmdet_2_for_classes_is_refused_not_passed_over(coco_root):
    with pytest.raises(InputError, match=r"metainfo\.classes, got metainfo\.CLASSES"):
        CocoDataset("annotations/train.json", data_root=str(coco_root()), metainfo=dict(CLASSES=("dog",)))


def _exif(kind: int, value: bytes) -> bytes:
    """An EXIF block with the orientation in a type of field that it is not in."""
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0" + bytes([kind]) + b"\0\0\0\x01" + value + b"\0\0\0\0"


@pytest.mark.parametrize(
    "exif", [_exif(4, b"\0\0\0\6"), _exif(1, b"\6\0\0\0"), _exif(3, b"\0\6\0\0")], ids=["long", "byte", "short"]
)
@pytest.mark.parametrize("size_wh", [(40, 30), (30, 40)])
def test_where_decoder_and_head_disagree_on_exif_the_decoded_size_counts(coco_root, coco_content, exif, size_wh):
    for image in coco_content["images"]:
        image.update(width=size_wh[0], height=size_wh[1])
    coco_content["annotations"] = [{**one, "bbox": [2, 3, 10, 8]} for one in coco_content["annotations"]]
    root = coco_root(coco_content)
    pixels = Image.fromarray(np.zeros((30, 40, 3), np.uint8))
    for name in ("a.jpg", "b.jpg"):
        pixels.save(root / "images" / name, exif=exif)
    try:
        shape = CocoDataset("annotations/train.json", data_root=str(root), pipeline=LOAD)[0]["inputs"].shape
    except InputError:
        return
    assert tuple(shape[1:]) == size_wh[::-1]


def test_names_that_are_whole_paths_do_not_decide_where_the_others_lie(tmp_path):
    for split, count in SPLITS:
        _coco(tmp_path, f"annotations/{split}.json", split, count)
    path = tmp_path / "annotations/val.json"
    content = json.loads(path.read_text())
    elsewhere = tmp_path / "elsewhere.jpg"
    (tmp_path / "val" / content["images"][0]["file_name"]).rename(elsewhere)
    content["images"][0]["file_name"] = str(elsewhere)
    for blanks in (0, 2**20):  # the second time no name is in the first MB
        path.write_text(" " * blanks + json.dumps(content))
        assert resolve_user_data(tmp_path)["val"][1] == tmp_path / "val"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "config,message",
    [
        ('names: [kiwi, "ki\\u200bwi"]', "expected names that differ to the eye, got 'kiwi' and 'ki.u200bwi'"),
        ('names: ["caf\\ud83d"]', "expected a name of whole characters"),
        (BOMB + "names: *i", "expected the names of the classes, got "),
        (BOMB + "names: [cat, *i]", "expected the names of the classes, got "),
        (BOMB + "names: {0: *i}", "expected the names of the classes, got "),
        (BOMB + "names: [cat]\nnc: *i", "expected nc as the number of names"),
        (BOMB + "names: [cat]\ntest: [*i]", "expected test as a folder"),
        ("names: !!python/object/apply:os.system [cat]", "expected names as a list of texts .*, got Tagged"),
        ("names: [!!python/name:os.system cat]", "expected the names of the classes, got Tagged"),
    ],
)
def test_names_of_a_yaml_are_refused_by_its_own_name_in_a_line_and_nothing_is_written(tmp_path, config, message):
    _yolo(tmp_path)
    text = (tmp_path / "data.yaml").read_text().replace("names: [cat]\n", "")
    (tmp_path / "data.yaml").write_text(text + config + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"data\.yaml: {message}") as error:
        resolve_user_data(tmp_path)
    assert len(str(error.value)) < 400 and not list(tmp_path.glob("*.json"))
