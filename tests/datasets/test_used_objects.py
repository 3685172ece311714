"""Data of which nothing would be learned are refused when they are read, with what was dropped."""

import pytest

from frozen_det.datasets.coco import CocoDataset
from frozen_det.errors import InputError
from frozen_det.evaluation.ground_truth import read_truth, truth_from_samples

pytestmark = pytest.mark.usefixtures("mmdet_scope")

MASKS = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]


def _dataset(root, **kwargs):
    return CocoDataset("annotations/train.json", data_root=str(root), **kwargs)


@pytest.mark.parametrize(
    "change,message",
    [
        (dict(iscrowd=1), "got none in 2 images and 3 annotations. Counted: 3 crowds"),
        (dict(ignore=1), "Counted: 3 boxes marked ignore"),
        (dict(bbox=[0.1, 0.1, 0.5, 0.5]), "Counted: 3 boxes below 1 px; boxes below 1 px may be shares of the image"),
    ],
)
def test_training_data_without_a_usable_object_are_refused(coco_root, coco_content, change, message):
    for annotation in coco_content["annotations"]:
        annotation.update(change)
    with pytest.raises(InputError, match=f"at least one object to learn, {message}" if "got" in message else message):
        _dataset(coco_root(coco_content))


def test_training_data_without_an_annotation_are_refused_unless_they_may_be_empty(coco_root, coco_content):
    coco_content["annotations"] = []
    root = coco_root(coco_content)
    with pytest.raises(InputError, match="annotate the images, or set allow_empty=True"):
        _dataset(root)
    assert len(_dataset(root, allow_empty=True)) == len(_dataset(root, test_mode=True)) == 2


def test_validation_data_whose_boxes_are_shares_are_refused(coco_root, coco_content):
    for annotation in coco_content["annotations"]:
        annotation["bbox"] = [0.1, 0.1, 0.5, 0.5]
    with pytest.raises(InputError, match="at least one object to find"):
        _dataset(coco_root(coco_content), test_mode=True)


@pytest.mark.parametrize("area", [0, -240, 1e300, 10**300, 2 * 10**301, 1300])
def test_an_area_that_cannot_be_is_unknown_and_its_box_is_used(coco_root, coco_content, area):
    for annotation in coco_content["annotations"]:
        annotation["area"] = area
    dataset = _dataset(coco_root(coco_content))
    assert [len(dataset.get_data_info(i)["instances"]) for i in (0, 1)] == [2, 1]
    assert dataset._dropped["areas of 0 or less or beyond their image, taken as unknown"] == 3
    dataset = _dataset(coco_root(coco_content), test_mode=True)
    assert not any("area" in one for i in (0, 1) for one in dataset.get_data_info(i)["instances"])
    truth = read_truth(truth_from_samples([dataset.get_data_info(i) for i in (0, 1)], ("cat", "dog")))
    assert [one["area"] for one in truth.dataset["annotations"]] == [80, 240, 750]


def test_an_area_as_large_as_the_image_or_as_a_box_that_sticks_out_is_kept(coco_root, coco_content):
    coco_content["annotations"][0]["area"] = 1200
    coco_content["annotations"][2].update(bbox=[1, 1, 100, 100], area=10000)
    dataset = _dataset(coco_root(coco_content), test_mode=True)
    assert [one["area"] for i in (0, 1) for one in dataset.get_data_info(i)["instances"]] == [1200, 240, 10000]


@pytest.mark.parametrize("pipeline", [MASKS, [dict(type="frozen_det.LargeScaleJitter", size_hw=32)]])
@pytest.mark.parametrize("test_mode", [False, True])
def test_objects_without_masks_are_one_error_where_masks_are_loaded(coco_root, coco_content, pipeline, test_mode):
    coco_content["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 11]]
    root = coco_root(coco_content)
    name = "LoadAnnotations" if pipeline is MASKS else "LargeScaleJitter"
    with pytest.raises(
        InputError,
        match=rf"as {name}\(with_mask=True\) loads them, got 2 of 3 objects without one, "
        rf"the first on image 1 .*with_mask=False in {name}",
    ):
        _dataset(root, pipeline=pipeline, test_mode=test_mode)
    boxes_only = [{**pipeline[-1], "with_mask": False}]
    assert len(_dataset(root, pipeline=[*pipeline[:-1], *boxes_only], test_mode=test_mode)) == 2


@pytest.mark.parametrize("segmentation", [[[3, 3, 12, 11, 7.5, 7]], {"size": [30, 40], "counts": [1200]}])
def test_objects_whose_mask_has_no_area_are_not_learnt_and_kept_for_measuring(
    coco_root, coco_content, segmentation, log_lines
):
    for annotation in coco_content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    coco_content["annotations"][1]["segmentation"] = segmentation
    root = coco_root(coco_content)
    counted = "1 objects whose mask has no area on their image, {} (the first in the file: annotation id 2)"
    assert len(_dataset(root, pipeline=MASKS).get_data_info(0)["instances"]) == 1
    assert counted.format("left out") in log_lines[-1]
    for settings in (dict(pipeline=MASKS, test_mode=True), dict(pipeline=[])):
        assert len(_dataset(root, **settings).get_data_info(0)["instances"]) == 2
        assert counted.format("kept") in [line for line in log_lines if "counted" in line][-1]


def test_objects_that_come_twice_are_counted_and_kept(coco_root, coco_content, log_lines):
    first, second, third = coco_content["annotations"]
    coco_content["annotations"] += [
        {**first, "id": 10},
        {**first, "id": 11},
        {**second, "id": 12, "category_id": 7},
        {**third, "id": 13, "segmentation": [[1, 1, 31, 1, 31, 26]]},
    ]
    dataset = _dataset(coco_root(coco_content))
    assert [len(dataset.get_data_info(i)["instances"]) for i in (0, 1)] == [5, 2]
    assert "counted: 2 objects that repeat another of their image (class, box and mask), kept" in log_lines[-1]


def test_masks_that_the_transform_ignores_are_refused(coco_root, coco_content):
    for annotation in coco_content["annotations"]:
        annotation.update(bbox=[0, 0, 40, 30], segmentation={"size": [30, 40], "counts": [0, 1200]})
    with pytest.raises(InputError, match=r"expected polygons for LoadAnnotations\(poly2mask=False\), .*none in 3"):
        _dataset(coco_root(coco_content), pipeline=[MASKS[0], dict(MASKS[1], poly2mask=False)])
