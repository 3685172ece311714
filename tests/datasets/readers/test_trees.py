"""Trees as COCO, CVAT, Roboflow, Label Studio and the VOC kit write them are found; what resembles one is refused."""

import json
from collections import Counter

import pytest

from frozen_det.datasets.readers.annotation_check import read_annotations
from frozen_det.datasets.readers.folder_layout import resolve_user_data
from frozen_det.errors import InputError

from .test_conversion import write_image, write_labels, write_voc
from .test_folder_layout import _check_images_are_there, _sizes, _write_json

SPLITS = (("train", 3), ("val", 2))
ROBOFLOW = (("train", 3), ("valid", 2), ("test", 1))
LIST = "ImageSets/Main/train.txt"


def _coco(root, path, images_dir, count, prefix=""):
    """A json of ``count`` images (or one) and its files; names in it begin with ``prefix``."""
    _write_json(root / path, "x.jpg", count)
    content = json.loads((root / path).read_text())
    for image in content["images"]:
        write_image(root / images_dir / image["file_name"])
        image["file_name"] = prefix + image["file_name"]
    (root / path).write_text(json.dumps(content))


def _objects(splits) -> dict:
    found = {}
    for split, (path, _) in splits.items():
        content = read_annotations(path)
        names = {category["id"]: category["name"] for category in content["categories"]}
        found[split] = Counter(names[annotation["category_id"]] for annotation in content["annotations"])
    return found


@pytest.mark.parametrize(
    "json_name,folder",
    [
        ("instances_{}2017", "{}2017"),
        ("instances_{}2014", "images/{}2014"),
        ("instances_{}", "{}"),
        ("instances_{}", "images/{}"),
        ("{}", "{}"),
    ],
)
def test_coco_s_own_tree(tmp_path, json_name, folder):
    for split, count in SPLITS:
        _coco(tmp_path, f"annotations/{json_name.format(split)}.json", folder.format(split), count)
        (tmp_path / f"annotations/captions_{split}2017.json").write_text('{"images": [], "annotations": []}')
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == {"train": 3, "val": 2}
    _check_images_are_there(splits)


def test_splits_with_capitals_as_cvat_writes_them(tmp_path):
    for split, count in (("Train", 3), ("Validation", 2)):
        _coco(tmp_path, f"annotations/instances_{split}.json", f"images/{split}", count)
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == {"train": 3, "val": 2}
    _check_images_are_there(splits)


def test_two_years_are_refused_by_name(tmp_path):
    for split, count in SPLITS:
        for year in (2014, 2017):
            _coco(tmp_path, f"annotations/instances_{split}{year}.json", f"{split}{year}", count)
    with pytest.raises(
        InputError, match="one json for the split train .*got instances_train2014.json, instances_train2017.json"
    ):
        resolve_user_data(tmp_path)


@pytest.mark.parametrize(
    "splits,sizes",
    [((("train", 10),), {"train": 8, "val": 2}), ((("train", 10), ("test", 1)), {"train": 8, "val": 2, "test": 1})],
)
def test_roboflow_s_json_without_a_validation_split_is_split_by_seed(tmp_path, splits, sizes):
    for split, count in splits:
        _coco(tmp_path, f"{split}/_annotations.coco.json", split, count)
    found = resolve_user_data(tmp_path)
    assert _sizes(found) == sizes
    _check_images_are_there(found)


@pytest.mark.parametrize(
    "json_name,folder,prefix",
    [
        ("annotations/instances_default.json", "images", ""),
        ("result.json", "images", "images/"),
        ("a.json", ".", ""),
        ("annotations/instances_val2017.json", "val2017", ""),
        ("coco_annotations.json", "images", ""),
    ],
)
def test_the_one_json_with_images_is_split_wherever_its_images_lie(tmp_path, json_name, folder, prefix):
    _coco(tmp_path, json_name, folder, 10, prefix)
    (tmp_path / "notes.json").write_text('{"categories": [], "info": {}, "images": "none"}')
    for _ in range(2):  # the second time with our own json beside it
        found = resolve_user_data(tmp_path)
        assert _sizes(found) == {"train": 8, "val": 2}
    _check_images_are_there(found)


def test_images_are_found_where_the_json_does_not_begin_with_them(tmp_path):
    _coco(tmp_path, "data.json", "JPEGImages", 10)
    content = json.loads((tmp_path / "data.json").read_text())
    text = json.dumps({"info": "x" * 2**20, **content})
    (tmp_path / "data.json").write_text(text)
    _check_images_are_there(resolve_user_data(tmp_path))


def test_a_file_of_the_user_s_is_not_written_over(tmp_path):
    for i in range(4):
        write_image(tmp_path / f"images/{i}.jpg")
        write_labels(tmp_path / f"labels/{i}.txt", "0 0.5 0.5 0.2 0.2")
    write_labels(tmp_path / "classes.txt", "cat")
    (tmp_path / "coco_train.json").write_text("mine")
    with pytest.raises(InputError, match="a file there that was not written by a conversion; move or rename it"):
        resolve_user_data(tmp_path)
    assert (tmp_path / "coco_train.json").read_text() == "mine"


# -- Pascal VOC


def _voc(root, stems, images="JPEGImages", xml="Annotations", **more):
    for stem in stems:
        write_image(root / images / f"{stem}.jpg")
        write_voc(root / xml / f"{stem}.xml", [("cat", 5, 5, 50, 50, 0)], filename=f"{stem}.jpg", **more)


@pytest.mark.parametrize("images,xml", [("{}", "{}"), ("{}/images", "{}/annotations")])
def test_roboflow_s_voc_with_a_folder_for_each_split(tmp_path, images, xml):
    for split, count in ROBOFLOW:
        _voc(tmp_path, [f"{split}{i}" for i in range(count)], images.format(split), xml.format(split))
    splits = resolve_user_data(tmp_path)
    assert _objects(splits) == {"train": {"cat": 3}, "val": {"cat": 2}, "test": {"cat": 1}}
    _check_images_are_there(splits)


def test_xml_beside_the_images_is_split_by_seed_and_other_xml_is_none(tmp_path):
    _voc(tmp_path, "abcde", ".", ".")
    assert _sizes(resolve_user_data(tmp_path)) == {"train": 4, "val": 1}
    other = tmp_path / "other"
    other.mkdir()
    (other / "build.xml").write_text("<project/>")
    with pytest.raises(InputError, match="expected one of the known trees"):
        resolve_user_data(other)


@pytest.mark.parametrize(
    "text",
    [
        "my cat 0\nmy cat 1\n",
        "\ufeffmy cat 0 \r\n\r\n my cat 1\r\n",
        "my cat 0.jpg\nmy cat 1.xml",
        "JPEGImages/my cat 0.jpg\nmy cat 1\nmy cat 1",
    ],
)
def test_voc_lists_name_images_with_blanks_one_a_line(tmp_path, text):
    _voc(tmp_path, [f"my cat {i}" for i in range(4)])
    write_labels(tmp_path / "ImageSets/Main/val.txt", "my cat 2", "my cat 3")
    (tmp_path / LIST).write_text(text, encoding="utf-8")
    splits = resolve_user_data(tmp_path)
    assert [i["file_name"] for i in read_annotations(splits["train"][0])["images"]] == ["my cat 0.jpg", "my cat 1.jpg"]


@pytest.mark.parametrize(
    "text,message",
    [
        ("a\nz\ny\n", r"train\.txt:2: expected the name of an xml file .*got 'z', which is not there; 2 lines"),
        ("a  1\nb -1\n", r"train\.txt:1: expected the name of an image, got 'a  1', as a list of one class has it"),
        ("\n", r"train\.txt: expected the names of images, one a line, got an empty list"),
    ],
)
def test_voc_lists_that_do_not_fit_are_refused_by_line(tmp_path, text, message):
    _voc(tmp_path, "ab")
    write_labels(tmp_path / "ImageSets/Main/val.txt", "b")
    (tmp_path / LIST).write_text(text)
    with pytest.raises(InputError, match=message):
        resolve_user_data(tmp_path)


def test_lists_of_single_classes_alone_are_named_as_such(tmp_path):
    _voc(tmp_path, "ab")
    write_labels(tmp_path / "ImageSets/Main/cat_train.txt", "a 1", "b -1")
    with pytest.raises(InputError, match="got cat_train.txt: lists of one class each are not those of a split"):
        resolve_user_data(tmp_path)


@pytest.mark.parametrize(
    "lists,sizes",
    [
        ({"trainval": "abcde", "test": "f"}, {"train": 4, "val": 1, "test": 1}),
        ({"test": "f"}, {"train": 4, "val": 1, "test": 1}),
        ({"train": "abcde"}, {"train": 4, "val": 1}),
    ],
)
def test_what_the_lists_keep_for_tests_is_not_trained_on(tmp_path, lists, sizes):
    _voc(tmp_path, "abcdef")
    for name, stems in lists.items():
        write_labels(tmp_path / f"ImageSets/Main/{name}.txt", *stems)
    splits = resolve_user_data(tmp_path)
    assert _sizes(splits) == sizes
    names = {i["file_name"] for split in ("train", "val") for i in read_annotations(splits[split][0])["images"]}
    assert names == {f"{stem}.jpg" for stem in "abcde"}


# -- YOLO


def _yolo(root, config, row="1 0.5 0.5 0.2 0.2", labels="labels"):
    for split in ("train", "val"):
        write_image(root / f"images/{split}/{split}.jpg")
        write_labels(root / f"{labels}/{split}/{split}.txt", row)
    if config is not None:
        (root / "data.yaml").write_text(f"train: images/train\nval: images/val\n{config}\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "config,row,name",
    [
        ("names: {1: cat, 2: dog}", "1 0.5 0.5 0.2 0.2", "cat"),
        ("nc: 2\nnames: {1: cat, 2: dog}", "2 0.5 0.5 0.2 0.2", "dog"),
        ("names: {0: cat, 5: dog}", "5 0.5 0.5 0.2 0.2", "dog"),
        ("names: {1: dog, 0: cat}", "1 0.5 0.5 0.2 0.2", "dog"),
        ("names: {'10': ten, '2': two}", "10 0.5 0.5 0.2 0.2", "ten"),
        ("names: [yes, no]", "1 0.5 0.5 0.2 0.2", "no"),
        ("names: [1.10, 1.2]", "0 0.5 0.5 0.2 0.2", "1.10"),
        ("names: [0, 1]", "1.0 0.5 0.5 0.2 0.2", "1"),
    ],
)
def test_names_go_by_their_numbers_and_stay_texts(tmp_path, config, row, name):
    assert _objects(resolve_user_data(_yolo(tmp_path, config, row))) == {"train": {name: 1}, "val": {name: 1}}


@pytest.mark.parametrize(
    "config,message",
    [
        ("names: cat", "names as a list of texts or a mapping from class numbers, got 'cat'"),
        ("names: cat, dog", "names as a list of texts"),
        ("names:", "names as a list"),
        ("names: 2", "names as a list"),
        ("names: []", "names of the classes, got none"),
        ("names: [cat, '']", "names of the classes, got ''"),
        ("names: [[cat, dog]]", "names of the classes, got \\['cat', 'dog'"),
        ("names: [cat, 'cat ']", "got 'cat' twice"),
        ("names: {cat: 0, dog: 1}", "class numbers from 0 on as the keys of names, got 'cat'"),
        ("names: {-1: cat, 0: dog}", "class numbers from 0 on"),
        ("names: {0.5: cat, 1: dog}", "class numbers from 0 on"),
        ("names: {0: cat, 0: dog}", "the key '0' twice"),
        ("names: {0: cat, 00: dog}", "each class number once"),
        ("nc: 3\nnames: [cat, dog]", "nc as the number of names, 2, got '3'"),
        ("nc: two\nnames: [cat, dog]", "got 'two'"),
    ],
)
def test_names_that_cannot_be_meant_are_refused(tmp_path, config, message):
    with pytest.raises(InputError, match=rf"data\.yaml.*{message}"):
        resolve_user_data(_yolo(tmp_path, config))


@pytest.mark.parametrize(
    "text,message",
    [
        ("\ufeffcat\r\ndog\r\n\r\n", None),
        ("cat\n\ndog\n", "names of the classes, got ''"),
        ("", "got none"),
        ("cat\ncat\n", "got 'cat' twice"),
    ],
)
def test_classes_txt_is_read_as_it_is_numbered(tmp_path, text, message):
    _yolo(tmp_path, None)
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8", newline="")
    if message is None:
        assert _objects(resolve_user_data(tmp_path))["train"] == {"dog": 1}
    else:
        with pytest.raises(InputError, match=rf"classes\.txt: .*{message}"):
            resolve_user_data(tmp_path)


def test_label_studio_s_export_is_read_beside_its_notes(tmp_path):
    for i in range(5):
        write_image(tmp_path / f"images/{i}.jpg")
        write_labels(tmp_path / f"labels/{i}.txt", "1 0.5 0.5 0.2 0.2")
    write_labels(tmp_path / "classes.txt", "cat", "dog")
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "cat"}], "info": {"year": 2026}}')
    assert _objects(resolve_user_data(tmp_path)) == {"train": {"dog": 4}, "val": {"dog": 1}}


def test_labels_that_lie_elsewhere_are_refused_and_lone_ones_counted(tmp_path):
    _yolo(tmp_path / "a", "names: [cat, dog]", labels="annots")
    with pytest.raises(InputError, match=r"such as .*labels/train/train\.txt for .*images/train/train\.jpg, got none"):
        resolve_user_data(tmp_path / "a")
    root = _yolo(tmp_path / "b", "names: [cat, dog]")
    write_labels(root / "labels/train/lone.txt", "0 0.5 0.5 0.2 0.2")
    train = resolve_user_data(root)["train"][0]
    assert json.loads(train.read_text())["info"]["dropped"] == {"label files without an image": 1}


def test_labels_beside_the_images_are_found_below_a_folder_called_images_too(tmp_path):
    root = tmp_path / "images" / "set"
    for name in ("train", "val"):
        write_image(root / f"obj/{name}.jpg")
        write_labels(root / f"obj/{name}.txt", "0 0.5 0.5 0.2 0.2")
        write_labels(root / f"{name}.txt", f"obj/{name}.jpg")
    (root / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [cat]\n")
    assert _objects(resolve_user_data(root)) == {"train": {"cat": 1}, "val": {"cat": 1}}
    write_labels(root / "obj/train.txt", *["0 0.5 0.5 0.2 0.2", "0 0.3 0.3 0.2 0.2"])
    assert _objects(resolve_user_data(root))["train"] == {"cat": 2}  # converted again


@pytest.mark.parametrize(
    "text",
    [
        "images/train/train.jpg\n",
        "\ufeff\r\n  ./images/train/train.jpg \r\n",
        "../images/train/train.jpg\nimages/train/train.jpg",
    ],
)
def test_lists_of_images_may_have_blanks_and_start_from_the_data_or_the_list(tmp_path, text):
    _yolo(tmp_path, None)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "data.yaml").write_text("train: lists/train.txt\nval: images/val\nnames: [cat, dog]\n")
    assert _sizes(resolve_user_data(tmp_path)) in ({"train": 1, "val": 1}, {"train": 2, "val": 1})


@pytest.mark.parametrize(
    "text,message",
    [
        ("images/train/train.jpg\nimages/train/gone.jpg", r"train\.txt:2: .*got 'images/train/gone.jpg', .* not there"),
        ("labels/train/train.txt", r"train\.txt:1: expected the path of an image, .* which is none"),
        ("", r"data\.yaml: expected images .* at .*train\.txt, the entry 'train', got none"),
    ],
)
def test_lists_of_images_that_do_not_fit_are_refused_by_line(tmp_path, text, message):
    _yolo(tmp_path, "names: [cat, dog]")
    (tmp_path / "train.txt").write_text(text)
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: images/val\nnames: [cat, dog]\n")
    with pytest.raises(InputError, match=message):
        resolve_user_data(tmp_path)


@pytest.mark.parametrize(
    "entry,message",
    [
        ("{a: images/train}", "expected train as a folder"),
        ("5", "images of 'train' at '5'"),
        ("[images/train, gone]", "images of 'train' at 'gone'"),
        ("empty", "the entry 'train', got none"),
    ],
)
def test_entries_of_a_yaml_that_cannot_be_meant_are_refused(tmp_path, entry, message):
    _yolo(tmp_path, None)
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.yaml").write_text(f"train: {entry}\nval: images/val\nnames: [cat, dog]\n")
    with pytest.raises(InputError, match=message):
        resolve_user_data(tmp_path)


def test_several_yaml_with_names_are_refused_unless_one_is_data_yaml(tmp_path):
    _yolo(tmp_path, "names: [cat, dog]")
    (tmp_path / "old.yaml").write_text("train: images/val\nval: images/train\nnames: [emu, yak]\n")
    assert _objects(resolve_user_data(tmp_path))["train"] == {"dog": 1}
    (tmp_path / "data.yaml").rename(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="one yaml with the names of the classes in .*got mine.yaml, old.yaml"):
        resolve_user_data(tmp_path)


@pytest.mark.parametrize("below, folders", [("", 2), ("train", 2), ("", 1)])
def test_folders_of_pictures_alone_are_taken_for_classes_and_the_classifiers_config_is_named(tmp_path, below, folders):
    for name in ("cat", "dog")[:folders]:
        folder = tmp_path / below / name
        folder.mkdir(parents=True)
        (folder / "a.JPG").touch()
    with pytest.raises(InputError, match="expected one of the known trees") as error:
        resolve_user_data(tmp_path)
    hint = f"frozen-det train custom_imagefolder --data {tmp_path}"
    assert str(error.value).endswith(hint) == (folders == 2)
