"""Pascal VOC and YOLO become COCO with the right pixels; one json is split so that every class is on both sides."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.datasets.readers.annotation_check import read_annotations
from frozen_det.datasets.readers.conversion import split_content
from frozen_det.datasets.readers.voc import voc_classes, voc_content
from frozen_det.datasets.readers.yolo import orphan_labels, yolo_content, yolo_label_path
from frozen_det.errors import InputError


def write_image(path, size_hw=(100, 200)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((*size_hw, 3), np.uint8))


def write_voc(path, boxes, filename="other.jpg"):
    """boxes: (name, xmin, ymin, xmax, ymax, difficult)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2, difficult in boxes
    )
    path.write_text(f"<annotation><filename>{filename}</filename>{objects}</annotation>")


def write_labels(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def voc(tmp_path):
    write_image(tmp_path / "images/a.jpg")
    return tmp_path


def _voc(folder, boxes, **more):
    write_voc(folder / "xml/a.xml", boxes, **more)
    return voc_content([folder / "xml/a.xml"], folder / "images", voc_classes([folder / "xml/a.xml"]))


def test_voc_corners_are_one_based_and_inclusive(voc):
    content = _voc(voc, [("dog", 1, 1, 200, 100, 0), ("cat", 11, 21, 11, 21, 0)])
    assert [c["name"] for c in content["categories"]] == ["cat", "dog"]
    assert [(a["bbox"], a["area"], a["category_id"]) for a in content["annotations"]] == [
        ([0, 0, 200, 100], 20000, 2),
        ([10, 20, 1, 1], 1, 1),
    ]
    assert content["images"] == [{"id": 1, "file_name": "a.jpg", "height": 100, "width": 200}]


def test_difficult_objects_become_regions_to_ignore(voc):
    content = _voc(voc, [("dog", 5, 5, 50, 50, 1), ("dog", 5, 5, 50, 50, 0)])
    assert [a["iscrowd"] for a in content["annotations"]] == [1, 0]


def test_boxes_are_cut_at_the_border_and_useless_ones_counted(voc):
    content = _voc(voc, [("dog", -20, 50, 20, 500, 0), ("dog", 300, 5, 310, 9, 0), ("dog", 9, 300, 9, 310, 0)])
    assert [a["bbox"] for a in content["annotations"]] == [[0, 49, 20, 51]]
    assert content["info"]["dropped"] == {
        "boxes below 1 px or outside their image": 2,
        "boxes sticking out of their image, cut at its border": 1,
    }


def test_an_image_is_found_by_stem_and_else_by_the_name_in_the_xml(voc):
    write_voc(voc / "xml/b.xml", [("dog", 5, 5, 50, 50, 0)], filename="a.jpg")
    write_voc(voc / "xml/c.xml", [("dog", 5, 5, 50, 50, 0)], filename="gone.jpg")
    content = voc_content([voc / "xml/b.xml", voc / "xml/c.xml"], voc / "images", ["dog"])
    assert [i["file_name"] for i in content["images"]] == ["a.jpg"]
    assert content["info"]["dropped"] == {"xml files without an image": 1}


def test_the_image_that_the_xml_names_goes_before_the_one_of_its_stem(voc):
    for name in ("other.jpg", "b.jpg", "b.png", "c.jpg"):
        write_image(voc / f"images/{name}")
    for stem, filename in (("a", "other.jpg"), ("b", "C:\\\\data\\\\b.png"), ("c", "gone.jpg")):
        write_voc(voc / f"xml/{stem}.xml", [("dog", 1, 1, 9, 9, 0)], filename=filename.replace("\\\\", "\\"))
    content = voc_content(sorted((voc / "xml").iterdir()), voc / "images", ["dog"])
    assert [i["file_name"] for i in content["images"]] == ["other.jpg", "b.png", "c.jpg"]


def test_an_image_of_two_xml_files_and_two_images_of_one_are_refused(voc):
    for stem in "ab":
        write_voc(voc / f"xml/{stem}.xml", [("dog", 1, 1, 9, 9, 0)], filename="a.jpg")
    with pytest.raises(InputError, match=r"b\.xml: expected an image of its own, got a\.jpg, which a\.xml has"):
        voc_content(sorted((voc / "xml").iterdir()), voc / "images", ["dog"])
    write_image(voc / "images/b.png"), write_image(voc / "images/b.jpg")
    write_voc(voc / "xml/b.xml", [("dog", 1, 1, 9, 9, 0)])
    with pytest.raises(InputError, match=r"b\.xml: expected one image, got b\.jpg, b\.png"):
        voc_content(sorted((voc / "xml").iterdir()), voc / "images", ["dog"])


@pytest.mark.parametrize(
    "size,message",
    [
        ("<width>200</width><height>100</height>", None),
        ("<width>0</width><height>0</height>", None),
        ("", None),
        ("<width>200.0</width><height> 100 </height>", None),
        ("<width>0</width><height>100</height>", None),
        ("<width/><height>100</height>", None),
        ("<width>400.0</width><height>100</height>", "200 x 100 px where the annotations are for 400 x 100 px"),
        ("<width>200.5</width><height>100</height>", "for 200.5 x 100 px"),
        ("<width>0</width><height>999</height>", "200 x 100 px where the annotations are for 200 x 999 px"),
        ("<width>wide</width><height>100</height>", "height and width in <size> as numbers, got '100' and 'wide'"),
        ("<width>inf</width><height>100</height>", "as numbers"),
        ("<width>100</width><height>50</height>", "200 x 100 px where the annotations are for 100 x 50 px"),
    ],
)
def test_an_image_of_another_size_than_its_xml_says_is_refused(voc, size, message):
    _voc(voc, [("dog", 1, 1, 9, 9, 0)])
    path = voc / "xml/a.xml"
    path.write_text(path.read_text().replace("<object>", f"<size>{size}</size><object>", 1))
    if message is None:
        assert len(voc_content([path], voc / "images", ["dog"])["annotations"]) == 1
    else:
        with pytest.raises(InputError, match=message):
            voc_content([path], voc / "images", ["dog"])


@pytest.mark.parametrize("difficult,crowd", [("", 0), ("0", 0), ("true", 1), ("1", 1), ("Unspecified", None)])
def test_difficult_is_a_flag(voc, difficult, crowd):
    if crowd is None:
        with pytest.raises(InputError, match=r"a\.xml: expected 0 or 1 as difficult, got 'Unspecified' for 'dog'"):
            _voc(voc, [("dog", 1, 1, 9, 9, difficult)])
    else:
        assert _voc(voc, [("dog", 1, 1, 9, 9, difficult)])["annotations"][0]["iscrowd"] == crowd


@pytest.mark.parametrize(
    "text",
    [
        "<annotations><image name='a.jpg'/></annotations>",
        '<annotation xmlns="http://x"><object/></annotation>',
        "<?xml version='1.0' encoding='klingon'?><annotation/>",
        "<?xml version='1.0' encoding='gbk'?><annotation/>",
    ],
)
def test_other_xml_is_refused_by_file(voc, text):
    (voc / "xml").mkdir()
    (voc / "xml/a.xml").write_text(text)
    with pytest.raises(InputError, match=r"a\.xml: expected Pascal VOC xml"):
        voc_content([voc / "xml/a.xml"], voc / "images", ["dog"])


@pytest.mark.parametrize("content", [b"", b"none"])
def test_an_image_that_cannot_be_read_is_refused_with_its_file(voc, content):
    (voc / "images/a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"got 1 that cannot be, the first .*images/a\.jpg: it is no image"):
        _voc(voc, [("dog", 5, 5, 50, 50, 0)])
    write_labels(voc / "labels/a.txt", "0 0.5 0.5 0.2 0.2")
    with pytest.raises(InputError, match=r"got 1 that cannot be, the first .*images/a\.jpg: it is no image"):
        yolo_content([voc / "images/a.jpg"], voc, {0: "cat"})


@pytest.mark.parametrize(
    "box,message",
    [
        (("dog", "left", 5, 50, 50, 0), r"a\.xml: expected xmin, ymin, xmax and ymax as numbers"),
        (("dog", "nan", 5, 50, 50, 0), "as numbers"),
        (("dog", 50, 5, 5, 50, 0), r"a\.xml: expected xmin not above xmax .*, got 50, 5, 5, 50 .* for 'dog'"),
        (("dog", 5, 50, 50, 5, 0), "ymin not above ymax"),
        ((" ", 5, 5, 50, 50, 0), "expected a name in each object"),
    ],
)
def test_voc_that_cannot_be_meant_is_refused(voc, box, message):
    with pytest.raises(InputError, match=message):
        _voc(voc, [box])


def test_names_of_xml_files_that_look_alike_are_refused_with_both_files(voc):
    write_voc(voc / "xml/a.xml", [("kiwi", 1, 1, 9, 9, 0)])
    write_voc(voc / "xml/b.xml", [("ki\u200bwi", 1, 1, 9, 9, 0), ("kiwi", 1, 1, 9, 9, 0)])
    with pytest.raises(InputError, match=r"(a|b)\.xml: expected names that differ to the eye, got .* in .*(a|b)\.xml"):
        voc_classes(sorted((voc / "xml").iterdir()))


def test_broken_xml_is_refused_with_its_file(voc):
    write_labels(voc / "xml/a.xml", "<annotation><object>")
    with pytest.raises(InputError, match=r"a\.xml: expected Pascal VOC xml"):
        voc_classes([voc / "xml/a.xml"])


def _yolo(folder, *lines, **more):
    write_image(folder / "images/a.jpg")
    write_labels(folder / "labels/a.txt", *lines)
    return yolo_content([folder / "images/a.jpg"], folder, {0: "cat", 1: "dog"}, **more)


def test_yolo_boxes_are_shares_of_width_and_height(tmp_path):
    content = _yolo(tmp_path, "1 0.5 0.5 0.25 0.5", "", "0 0.05 0.1 0.2 0.2")
    assert [(a["category_id"], a["bbox"]) for a in content["annotations"]] == [
        (2, [75, 25, 50, 50]),
        (1, [0, 0, 30, 20]),
    ]
    assert content["images"][0]["file_name"] == "images/a.jpg"


def test_yolo_polygons_keep_their_outline(tmp_path):
    content = _yolo(tmp_path, "0 0.1 0.2 0.6 0.2 0.6 0.7")
    assert content["annotations"][0]["segmentation"] == [[20, 20, 120, 20, 120, 70]]
    assert content["annotations"][0]["bbox"] == [20, 20, 100, 50] and content["annotations"][0]["area"] == 2500


def test_keypoints_behind_a_yolo_box_are_not_a_polygon(tmp_path):
    content = _yolo(tmp_path, "0 0.5 0.5 0.2 0.2 0.1 0.1 2", boxes_only=True)
    assert content["annotations"][0]["bbox"] == [80, 40, 40, 20]


def test_an_image_without_a_label_file_has_no_objects_where_others_have_one(tmp_path):
    paths = [tmp_path / f"images/{name}.jpg" for name in "ab"]
    for path in paths:
        write_image(path)
    write_labels(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.2")
    content = yolo_content(paths, tmp_path, {0: "cat"})
    assert [a["image_id"] for a in content["annotations"]] == [1] and len(content["images"]) == 2
    assert content["info"]["dropped"] == {"images without a label file, taken as empty": 1}


@pytest.mark.parametrize("suffix", [".TXT", ".Txt"])
@pytest.mark.parametrize("folder", ["labels", "images"])
def test_the_suffix_of_a_label_file_may_be_in_capitals(tmp_path, suffix, folder):
    write_image(tmp_path / "images/a.JPG")
    write_labels(tmp_path / f"{folder}/a{suffix}", "0 0.5 0.5 0.2 0.2")
    content = yolo_content([tmp_path / "images/a.JPG"], tmp_path, {0: "cat"})
    assert len(content["annotations"]) == 1 and not content["info"]["dropped"]
    assert orphan_labels([tmp_path / "images/a.JPG"]) == 0


def test_images_without_a_single_label_file_are_refused_unless_they_may_be(tmp_path):
    write_image(tmp_path / "images/a.jpg")
    with pytest.raises(InputError, match=r"such as .*labels/a\.txt for .*images/a\.jpg, got none for any of 1 images"):
        yolo_content([tmp_path / "images/a.jpg"], tmp_path, {0: "cat"})
    assert len(yolo_content([tmp_path / "images/a.jpg"], tmp_path, {0: "cat"}, labelled=False)["images"]) == 1


@pytest.mark.parametrize(
    "line,message",
    [
        ("2 0.5 0.5 0.1 0.1", "class number from 0 to 1, got 2"),
        ("-1 0.5 0.5 0.1 0.1", "class number from 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "class number from 0 to 1"),
        ("0 100 50 20 20", "shares of the image's size"),
        ("0 nan 0.5 0.1 0.1", "shares of the image's size"),
        ("0 0.5 0.5 -0.3 0.3", "width and height not below 0, got '0 0.5 0.5 -0.3 0.3'"),
        ("0 0.5 0.5 0.3 -0.3", "width and height not below 0"),
        ("nan 0.5 0.5 0.1 0.1", "class number from 0 to 1, got nan"),
        ("inf 0.5 0.5 0.1 0.1", "class number from 0 to 1"),
        ("0,0.5,0.5,0.1,0.1", "expected `class x y"),
        ("0 0.5 0.5 0.1", "expected `class x y width height`"),
        ("cat 0.5 0.5 0.1 0.1", "expected `class x y"),
        ("0 .1 .1 .2 .2 .3", "expected `class x y"),
    ],
)
def test_yolo_lines_that_cannot_be_meant_are_refused_with_file_and_line(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"labels/a\.txt:2: .*{message}"):
        _yolo(tmp_path, "0 0.5 0.5 0.1 0.1", line)


def test_labels_lie_in_the_folder_beside_the_last_images():
    from pathlib import Path

    assert yolo_label_path(Path("images/set/images/train/a.b.jpg")) == Path("images/set/labels/train/a.b.txt")
    assert yolo_label_path(Path("pictures/a.jpg")) == Path("pictures/a.txt")


def _content(classes_of_images) -> dict:
    """One image for each list of category ids (1 to 4)."""
    boxes = [(image, category) for image, categories in enumerate(classes_of_images) for category in categories]
    return {
        "images": [{"id": i} for i in range(len(classes_of_images))],
        "annotations": [{"id": n, "image_id": i, "category_id": c} for n, (i, c) in enumerate(boxes)],
        "categories": [{"id": i, "name": str(i)} for i in range(1, 5)],
    }


def _sides(parts, category):
    return [
        len({a["image_id"] for a in parts[side]["annotations"] if a["category_id"] == category})
        for side in ("train", "val")
    ]


@given(
    st.lists(st.lists(st.integers(1, 4), max_size=3), max_size=30), st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 5)
)
def test_a_split_deals_each_image_and_its_objects_to_one_side(classes_of_images, val_share, seed):
    content = _content(classes_of_images)
    parts = split_content(content, val_share, seed)
    for group in ("images", "annotations"):
        ids = [[entry["id"] for entry in parts[side][group]] for side in ("train", "val")]
        assert sorted(ids[0] + ids[1]) == [entry["id"] for entry in content[group]]
    for part in parts.values():
        assert {a["image_id"] for a in part["annotations"]} <= {i["id"] for i in part["images"]}
        assert part["categories"] == content["categories"]


@given(st.lists(st.integers(1, 4), min_size=2, max_size=40), st.sampled_from([0.2, 0.9]), st.integers(0, 5))
def test_with_one_class_an_image_every_class_with_two_images_is_on_both_sides(classes, val_share, seed):
    parts = split_content(_content([[c] for c in classes]), val_share, seed)
    for category in set(classes):
        count = classes.count(category)
        num_train, num_val = _sides(parts, category)
        assert num_val == (min(max(1, round(val_share * count)), count - 1) if count > 1 else 0)
        assert num_train == count - num_val


def test_a_split_follows_from_the_seed_and_not_from_the_order():
    content = _content([[1], [2], [1, 2], [3], [], [1]] * 5)
    for entry, key in [*((i, "id") for i in content["images"]), *((a, "image_id") for a in content["annotations"])]:
        entry[key] = f"image {entry[key]}"  # texts come out of a set in no order of their own
    shuffled = {**content, "images": content["images"][::-1], "annotations": content["annotations"][::-1]}
    ids = [
        [sorted(i["id"] for i in split_content(c, 0.2, seed)["val"]["images"]) for c in (content, shuffled)]
        for seed in (0, 1)
    ]
    assert ids[0][0] == ids[0][1] and ids[0][0] != ids[1][0] and 5 <= len(ids[0][0]) <= 8


def test_a_split_of_real_data_keeps_classes_on_both_sides(real_data):
    content = read_annotations(real_data / "coco128/annotations/instances.json")
    parts = split_content(content, 0.2, 0)
    lost = [c["name"] for c in content["categories"] if sum(_sides(parts, c["id"])) > 1 and 0 in _sides(parts, c["id"])]
    assert len(lost) <= 3 and 26 <= len(parts["val"]["images"]) <= 40
