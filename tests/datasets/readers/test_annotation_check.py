"""COCO json that cannot be meant is refused with file, entry and remedy; good json passes unchanged."""

import copy
import json
from collections import Counter

import pytest

from frozen_det.datasets.readers.annotation_check import class_counts, read_annotations, read_classes
from frozen_det.errors import InputError


@pytest.fixture
def written(tmp_path, coco_content):
    """A function that writes the content after ``change(content)`` and returns the path."""

    def write(change=lambda content: None):
        content = copy.deepcopy(coco_content)
        changed = change(content)
        path = tmp_path / "data.json"
        path.write_text(json.dumps(content if changed is None else changed))
        return path

    return write


def _set(group, number, key, value):
    return lambda content: content[group][number].__setitem__(key, value)


def _remove(group, number, key):
    def change(content):
        del content[group][number][key]

    return change


def test_good_json_passes_unchanged(written, coco_content):
    assert read_annotations(written()) == coco_content


def test_json_without_annotations_passes_for_prediction_only(written):
    path = written(lambda content: {k: v for k, v in content.items() if k != "annotations"})
    assert read_annotations(path, labelled=False)["annotations"] == []
    with pytest.raises(InputError, match="expected a list under the top-level key 'annotations'"):
        read_annotations(path)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_missing_top_level_key_is_named_with_what_is_there(written, key):
    path = written(lambda content: {k: v for k, v in content.items() if k != key})
    with pytest.raises(InputError, match=rf"{path}.*top-level key '{key}', got the keys "):
        read_annotations(path)


def test_a_misspelt_top_level_key_is_named(written):
    path = written(lambda content: {("annotation" if k == "annotations" else k): v for k, v in content.items()})
    with pytest.raises(InputError, match=r"did you mean 'annotation'\?$"):
        read_annotations(path)


@pytest.mark.parametrize(
    "group,key",
    [
        ("images", "id"),
        ("images", "height"),
        ("images", "width"),
        ("annotations", "id"),
        ("annotations", "image_id"),
        ("annotations", "category_id"),
        ("annotations", "bbox"),
        ("annotations", "area"),
        ("categories", "id"),
        ("categories", "name"),
    ],
)
def test_a_missing_key_is_named_with_its_entry(written, group, key):
    with pytest.raises(InputError, match=rf"{group}\[1\].*expected the keys .*\b{key}\b"):
        read_annotations(written(_remove(group, 1, key)))


def test_an_image_needs_one_of_the_name_keys(written):
    path = written(_remove("images", 0, "file_name"))
    with pytest.raises(InputError, match=r"images\[0\] \(id 1\): expected a text under 'file_name' or 'coco_url'"):
        read_annotations(path, ("file_name", "coco_url"))
    path = written(lambda content: content["images"][0].update(coco_url=content["images"][0].pop("file_name")))
    assert read_annotations(path, ("file_name", "coco_url"))["images"][0]["coco_url"] == "a.jpg"


@pytest.mark.parametrize(
    "change,message",
    [
        (
            _set("annotations", 2, "bbox", [float("nan"), 1, 2, 3]),
            r"annotations\[2\] \(id 3\): expected finite numbers",
        ),
        (_set("annotations", 2, "area", float("inf")), r"annotations\[2\] \(id 3\): expected finite numbers"),
        (_set("annotations", 1, "bbox", [1, 1, -2, 3]), r"\(id 2\): expected width and height not below 0.*upper left"),
        (_set("annotations", 1, "bbox", [1, 1, 2]), r"\(id 2\): expected bbox as four numbers"),
        (_set("annotations", 1, "bbox", None), r"\(id 2\): expected bbox as four numbers"),
        (_set("annotations", 1, "bbox", ["1", "1", "2", "2"]), r"\(id 2\): expected bbox as four numbers"),
        (_set("annotations", 0, "area", None), r"\(id 1\): expected bbox as four numbers .* and area as a number"),
        (
            _set("annotations", 0, "image_id", 99),
            r"\(id 1\): expected the id of an entry of 'images' as image_id, got 99",
        ),
        (_set("annotations", 0, "category_id", 8), r"expected one of the category ids 3, 7 as category_id, got 8"),
        (_set("images", 0, "height", 0), r"images\[0\] \(id 1\): expected height and width above 0, got height 0"),
        (_set("images", 0, "width", "40"), r"images\[0\] \(id 1\): expected height and width above 0"),
        (_set("categories", 0, "name", 5), r"categories\[0\] \(id 7\): expected a text as name, got 5"),
        (_set("annotations", 1, "id", 1), "expected each id in 'annotations' once, got 1 2 times"),
        (_set("images", 1, "id", 1), "expected each id in 'images' once"),
        (_set("categories", 1, "id", 7), "expected each id in 'categories' once"),
        (_set("categories", 1, "name", "cat"), "expected each name in 'categories' once, got 'cat' 2 times"),
        (_set("annotations", 0, "segmentation", [[1, 2, 3]]), r"\(id 1\): expected segmentation as polygons"),
        (_set("annotations", 0, "bbox", [True, 3, 10, 8]), r"\(id 1\): expected bbox as four numbers"),
        (_set("annotations", 0, "bbox", [10**400, 3, 10, 8]), r"\(id 1\): expected bbox as four numbers"),
        (_set("annotations", 0, "bbox", {"x": 1, "y": 1, "w": 2, "h": 2}), r"\(id 1\): expected bbox as four numbers"),
        (_set("annotations", 2, "image_id", [2]), r"\(id 3\): expected a whole number as image_id, as in the other"),
        (_set("annotations", 2, "image_id", True), r"\(id 3\): expected a whole number as image_id, .*got True"),
        (_set("annotations", 2, "category_id", 3.5), r"\(id 3\): expected a whole number as category_id, .*got 3\.5"),
        (_set("annotations", 2, "category_id", {"a": 1}), r"\(id 3\): expected a whole number as category_id"),
        (_set("images", 1, "id", "two"), r"images\[1\] \(id 'two'\): expected a whole number as id"),
        (_set("images", 1, "id", float("nan")), r"images\[1\].*expected a whole number as id"),
        (
            _set("images", 0, "width", 40.5),
            r"images\[0\] \(id 1\): expected whole numbers as height and width, .*40\.5",
        ),
        (_set("images", 0, "width", True), r"images\[0\] \(id 1\): expected height and width above 0"),
        (_set("annotations", 0, "iscrowd", "0"), r"\(id 1\): expected 0 or 1 as iscrowd, got '0'"),
        (_set("annotations", 0, "iscrowd", float("nan")), r"\(id 1\): expected 0 or 1 as iscrowd, got nan"),
        (_set("annotations", 0, "iscrowd", [0]), r"\(id 1\): expected 0 or 1 as iscrowd"),
        (_set("annotations", 0, "ignore", "false"), r"\(id 1\): expected 0 or 1 as ignore, got 'false'"),
        (_set("annotations", 0, "pseudo", 2), r"\(id 1\): expected 0 or 1 as pseudo, got 2"),
        (_set("categories", 0, "name", "  "), r"categories\[0\] \(id 7\): expected a text as name"),
        (_set("categories", 0, "name", "dog "), r"expected names that differ to the eye, got 'dog ' and another"),
        (
            _set("annotations", 0, "segmentation", {"counts": "x", "size": [40, 30]}),
            r"the image's size \[height, width\]",
        ),
        (lambda content: content["categories"].clear(), "expected at least one category"),
        (lambda content: [content], "expected an object with images, annotations and categories, got a list"),
        (_set("annotations", 0, "id", [1]), "expected a whole number as id"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_entry_and_remedy(written, change, message):
    path = written(change)
    with pytest.raises(InputError, match=message) as error:
        read_annotations(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_flags_may_be_bools_zero_or_absent_and_sizes_whole_floats(written):
    def change(content):
        for annotation, value in zip(content["annotations"], (False, None, 1.0)):
            annotation["iscrowd"] = value
        content["images"][0].update(width=40.0)

    content = read_annotations(written(change))
    assert content["images"][0]["width"] == 40 and type(content["images"][0]["width"]) is int


def test_ids_may_all_be_texts(written):
    def change(content):
        for image in content["images"]:
            image["id"] = f"image {image['id']}"
        for annotation in content["annotations"]:
            annotation["image_id"] = f"image {annotation['image_id']}"

    assert read_annotations(written(change))["images"][0]["id"] == "image 1"


def test_names_that_unicode_takes_for_equal_are_refused(written):
    def change(content):
        for category, name in zip(content["categories"], ("caf\u00e9", "cafe\u0301")):
            category["name"] = name

    with pytest.raises(InputError, match="names that differ to the eye"):
        read_annotations(written(change))


def _with_root(name="animals", **root):
    def change(content):
        for category in content["categories"]:
            category["supercategory"] = name
        content["categories"].insert(0, {"id": 0, "name": name, "supercategory": "none", **root})

    return change


@pytest.mark.parametrize("name", ["animals", "cat"])
def test_an_empty_root_category_is_left_out_also_where_it_has_a_class_s_name(written, name):
    path = written(_with_root(name))
    assert read_classes(path) == ("cat", "dog")
    assert [c["id"] for c in read_annotations(path)["categories"]] == [7, 3]


def test_a_root_category_can_be_kept_and_one_with_a_box_or_without_all_others_is_none(written):
    assert len(read_annotations(written(_with_root()), keep_root=True)["categories"]) == 3

    def used(content):
        _with_root()(content)
        content["annotations"][0]["category_id"] = 0

    def partly(content):
        _with_root()(content)
        content["categories"][1]["supercategory"] = "pets"

    for change in (used, partly, _with_root(supercategory="things")):
        assert read_classes(written(change)) == ("animals", "cat", "dog")


def test_what_masks_lost_is_counted(written):
    notes = Counter()
    parts = [[2, 3, 12, 3, 12, 11], [2, 3, 4, 5]]
    read_annotations(written(_set("annotations", 0, "segmentation", parts)), notes=notes)
    assert notes == {"parts of masks of fewer than three points": 1}


def test_further_entries_with_the_same_fault_are_counted(written):
    path = written(lambda content: [a.update(image_id=99) for a in content["annotations"]] and None)
    with pytest.raises(InputError, match=r"annotations\[0\].*; 3 entries in all are like that"):
        read_annotations(path)


def test_empty_lists_and_boxes_without_area_pass(written):
    assert read_annotations(written(lambda content: content["annotations"].clear()))["annotations"] == []
    assert len(read_annotations(written(_set("annotations", 0, "bbox", [1, 1, 0, 0])))["annotations"]) == 3


@pytest.mark.parametrize("text", [b'{"images": [', b"", b"\xff\xfe\x00broken"])
def test_broken_json_is_one_clear_line(tmp_path, text):
    (tmp_path / "data.json").write_bytes(text)
    with pytest.raises(InputError, match="expected json, got text that ends or breaks off"):
        read_annotations(tmp_path / "data.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="expected an annotation file at .*nothing.json"):
        read_annotations(tmp_path / "nothing.json")


def test_classes_come_in_the_order_of_the_json_and_not_of_the_ids(written):
    assert read_classes(written()) == ("cat", "dog")  # ids 7 and 3


def test_classes_are_read_without_looking_at_the_rest(written):
    assert read_classes(written(lambda content: content.update(images=None, annotations=None))) == ("cat", "dog")
    with pytest.raises(InputError, match="'categories'"):
        read_classes(written(lambda content: content.pop("categories") and None))


def test_classes_without_a_box_are_counted_too(written, coco_content):
    coco_content["categories"].append({"id": 1, "name": "emu"})
    assert class_counts(coco_content) == {"cat": 1, "dog": 2, "emu": 0}


def test_real_annotations_pass(real_data):
    assert len(read_annotations(real_data / "coco128/annotations/instances.json")["annotations"]) == 939
    assert len(read_annotations(real_data / "lvis_api_sample/lvis_val_100.json")["annotations"]) == 977


@pytest.mark.parametrize("twin", ["ki\u200bwi", "ki\u00adwi", "\ufeffkiwi", " kiwi"])
def test_names_that_look_alike_are_refused(written, twin):
    def rename(content):
        content["categories"][0]["name"], content["categories"][1]["name"] = "kiwi", twin

    with pytest.raises(InputError, match="names that differ to the eye, got 'kiwi' and another that looks the same"):
        read_annotations(written(rename))


@pytest.mark.parametrize("blank", ["  ", "\u00a0", "\t"])
def test_names_that_differ_in_their_blanks_alone_are_refused(written, blank):
    def rename(content):
        content["categories"][0]["name"], content["categories"][1]["name"] = "red pear", f"red{blank}pear"

    with pytest.raises(InputError, match="names that differ to the eye"):
        read_annotations(written(rename))


def test_a_name_of_invisible_characters_is_none(written):
    with pytest.raises(InputError, match="expected a text as name, got '.u200b'"):
        read_annotations(written(_set("categories", 0, "name", "\u200b")))


@pytest.mark.parametrize("name", ["caf\ud83d", "\udc9dcaf"])
def test_a_name_with_half_a_character_is_refused(written, name):
    with pytest.raises(InputError, match=r"categories\[1\] \(id 3\): expected a name of whole characters, got '.*ud"):
        read_annotations(written(_set("categories", 1, "name", name)))
    assert read_classes(written(_set("categories", 1, "name", "caf\U0001f49d"))) == ("cat", "caf\U0001f49d")


def test_ids_that_are_whole_floats_become_ints(written, coco_content):
    def as_floats(content):
        for group in ("images", "annotations", "categories"):
            for entry in content[group]:
                entry.update({key: float(entry[key]) for key in ("id", "image_id", "category_id") if key in entry})

    content = read_annotations(written(as_floats))
    assert content == coco_content and {
        type(entry[key])
        for group in ("images", "annotations", "categories")
        for entry in content[group]
        for key in ("id", "image_id", "category_id")
        if key in entry
    } == {int}


@pytest.mark.parametrize("box", [[2**70, 3, 10, 8], [2, 3, 1e300, 8], [2, -3e9, 10, 8]])
def test_boxes_beyond_any_image_are_refused(written, box):
    with pytest.raises(InputError, match=r"annotations\[1\] \(id 2\): expected (finite numbers|bbox as four numbers)"):
        read_annotations(written(_set("annotations", 1, "bbox", box)))


def test_a_list_that_comes_twice_is_refused_not_replaced(written):
    path = written()
    path.write_text(path.read_text()[:-1] + ', "annotations": []}')
    with pytest.raises(InputError, match=rf"^{path}: expected each key of an object once, got 'annotations' 2 times"):
        read_annotations(path)


def test_annotations_within_other_entries_are_no_second_list(written):
    def nest(content):
        content["images"][0]["annotations"] = []

    assert len(read_annotations(written(nest))["annotations"]) == 3
