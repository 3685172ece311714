"""LVIS json of both versions, its groups and lists, through to the metric."""

import copy
import json

import numpy as np
import pytest
import torch

from frozen_det.datasets.lvis import LVISDataset
from frozen_det.errors import InputError
from frozen_det.evaluation import LVISMetric


@pytest.fixture
def lvis_content(coco_content):
    """The two images of coco_content in LVIS v1's words: no file_name, no iscrowd."""
    content = copy.deepcopy(coco_content)
    for image, negatives, open_lists in zip(content["images"], ([], [7]), ([3], [])):
        del image["file_name"]
        image.update(
            coco_url=f"http://images.cocodataset.org/val2017/{image['id']:012d}.jpg",
            neg_category_ids=negatives,
            not_exhaustive_category_ids=open_lists,
        )
    for ann in content["annotations"]:
        del ann["iscrowd"]
    content["categories"][0].update(frequency="r", image_count=1)
    content["categories"][1].update(image_count=101)
    return content


@pytest.fixture
def write(tmp_path):
    """A function that writes a json with empty image files where coco_url puts them."""

    def write_content(content):
        for image in content["images"]:
            path = tmp_path / image["coco_url"].split(".org/")[1]
            path.parent.mkdir(exist_ok=True)
            path.touch()
        (tmp_path / "lvis.json").write_text(json.dumps(content))
        return tmp_path

    return write_content


def test_images_are_found_by_coco_url_and_lists_become_labels(lvis_content, write):
    root = write(lvis_content)
    dataset = LVISDataset("lvis.json", data_root=str(root), test_mode=True)
    info = dataset.get_data_info(1)
    assert info["img_path"] == str(root / "val2017" / "000000000002.jpg")
    assert info["neg_category_ids"] == [0] and info["not_exhaustive_category_ids"] == []
    assert dataset.get_data_info(0)["not_exhaustive_category_ids"] == [1]
    assert dataset.metainfo["classes"] == ("cat", "dog") and dataset.metainfo["frequency"] == ("r", "f")


def test_the_old_version_with_file_names_of_2014_is_read(real_data, tmp_path):
    path = real_data / "lvis_api_sample" / "lvis_val_100.json"
    content = json.loads(path.read_text())
    (tmp_path / "val2017").mkdir()
    for image in content["images"]:
        (tmp_path / "val2017" / image["coco_url"].rsplit("/", 1)[1]).touch()
    dataset = LVISDataset(str(path), data_root=str(tmp_path), test_mode=True)
    assert len(dataset) == 100 and len(dataset.metainfo["classes"]) == 1230
    assert [dataset.metainfo["frequency"].count(group) for group in "rcf"] == [454, 461, 315]
    assert sum(len(dataset.get_data_info(index)["instances"]) for index in range(100)) <= 977
    assert dataset.get_data_info(0)["img_path"].endswith("val2017/000000266409.jpg")


def test_a_set_without_urls_falls_back_to_file_names(coco_content, coco_root):
    for category in coco_content["categories"]:
        category["frequency"] = "c"
    root = coco_root(coco_content)
    dataset = LVISDataset("annotations/train.json", data_root=str(root), data_prefix=dict(img="images/"))
    assert dataset.get_data_info(0)["img_path"] == str(root / "images" / "a.jpg")
    assert dataset.get_data_info(0)["neg_category_ids"] is None


@pytest.mark.parametrize("fields", [{}, {"frequency": "often"}, {"image_count": "many"}, {"image_count": True}])
def test_categories_without_a_group_are_refused(lvis_content, write, fields):
    lvis_content["categories"][1] = {"id": 3, "name": "dog", **fields}
    with pytest.raises(InputError, match="category 'dog': expected frequency"):
        LVISDataset("lvis.json", data_root=str(write(lvis_content)), test_mode=True)


@pytest.mark.parametrize("listed", [1, "12", ["7"], [[1]], [None], {"1": 1}, [1.5]])
def test_federated_lists_that_are_none_are_refused_with_their_image(lvis_content, write, listed):
    lvis_content["images"][1]["neg_category_ids"] = listed
    with pytest.raises(InputError, match="a list of category ids as neg_category_ids of image 2, got"):
        LVISDataset("lvis.json", data_root=str(write(lvis_content)), test_mode=True)


def test_a_url_that_is_no_text_is_refused_also_beside_a_file_name(lvis_content, write):
    root = write(lvis_content)
    lvis_content["images"][0].update(coco_url=5, file_name="a.jpg")
    (root / "lvis.json").write_text(json.dumps(lvis_content))
    with pytest.raises(InputError, match=r"images\[0\] .*a text under 'coco_url' or 'file_name'"):
        LVISDataset("lvis.json", data_root=str(root), test_mode=True)


def test_samples_evaluate_to_the_numbers_of_the_file(lvis_content, write):
    root = write(lvis_content)
    dataset = LVISDataset("lvis.json", data_root=str(root), test_mode=True)
    numbers = []
    for ann_file in (str(root / "lvis.json"), None):
        metric = LVISMetric(ann_file=ann_file)
        metric.dataset_meta = dataset.metainfo
        for index in range(2):
            info = dataset.get_data_info(index)
            boxes = torch.tensor([one["bbox"] for one in info["instances"]] + [[0.0, 0, 5, 5]] * 2)
            labels = [one["bbox_label"] for one in info["instances"]] + [0, 1]  # and a false one of each class
            metric.process(
                {},
                [
                    {
                        **info,
                        "ori_shape": (30, 40),
                        "pred_instances": {
                            "bboxes": boxes,
                            "labels": torch.tensor(labels),
                            "scores": torch.linspace(0.1, 0.9, len(boxes)),
                        },
                    }
                ],
            )
        numbers.append(metric.evaluate(2))
    np.testing.assert_allclose(list(numbers[0].values()), list(numbers[1].values()))
    assert numbers[0].keys() == numbers[1].keys() and 0 < numbers[0]["lvis/bbox_APr"] < 1
    assert numbers[0]["lvis/bbox_APc"] == -1


def test_lvis_api_is_not_needed():
    import sys

    assert "lvis" not in sys.modules
