"""Made detections of several kinds from real annotations."""

import json

import numpy as np
import pytest

from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.run_lengths import run_length

KINDS = ("perfect", "jittered", "wrong class", "duplicates", "empty", "thousands")


def make_detections(truth: dict, kind: str, seed: int = 0) -> Detections:
    """Detections with boxes and masks for a COCO or LVIS dict; scores have two digits, so many are tied."""
    rng = np.random.default_rng(seed)
    size_of = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    anns = [ann for ann in truth["annotations"] if not ann.get("iscrowd")]
    repeats = {"empty": 0, "duplicates": 3, "thousands": 6}.get(kind, 1)
    anns = anns * repeats
    boxes = np.array([ann["bbox"] for ann in anns]).reshape(-1, 4)
    masks = [run_length(ann["segmentation"], size_of[ann["image_id"]]) for ann in anns]
    categories = np.array([ann["category_id"] for ann in anns], np.int64)
    known = np.array([category["id"] for category in truth["categories"]])
    if kind in ("jittered", "duplicates", "thousands"):
        boxes = np.maximum(boxes + rng.normal(0, 0.08, boxes.shape) * boxes[:, [2, 3, 2, 3]], 0.5)
        masks = [_shifted(mask, rng) if rng.random() < 0.5 else mask for mask in masks]
    if kind == "wrong class":
        categories = rng.choice(known, len(categories))
    if kind == "thousands":
        wrong = rng.random(len(categories)) < 0.3
        categories = np.where(wrong, rng.choice(known, len(categories)), categories)
    return Detections(
        np.array([ann["image_id"] for ann in anns], np.int64),
        boxes,
        np.round(rng.random(len(anns)), 2),
        categories,
        masks,
    )


def _shifted(mask: dict, rng) -> dict:
    from pycocotools import mask as rle_tools

    shift = tuple(rng.integers(-4, 5, 2))
    return rle_tools.encode(np.asfortranarray(np.roll(rle_tools.decode(mask), shift, (0, 1))))


@pytest.fixture(scope="session")
def coco128(real_data):
    path = real_data / "coco128" / "annotations" / "instances.json"
    return path, json.loads(path.read_text())


@pytest.fixture(scope="session")
def lvis100(real_data):
    path = real_data / "lvis_api_sample" / "lvis_val_100.json"
    return path, json.loads(path.read_text())


@pytest.fixture(scope="session")
def crowded_lvis(lvis100, tmp_path_factory):
    """The 12 most crowded images of lvis100 with the categories that judge them: a tenth of the time."""
    from collections import Counter

    truth = lvis100[1]
    crowded = [image for image, _ in Counter(ann["image_id"] for ann in truth["annotations"]).most_common(12)]
    images = [image for image in truth["images"] if image["id"] in crowded]
    annotations = [ann for ann in truth["annotations"] if ann["image_id"] in crowded]
    judged = {ann["category_id"] for ann in annotations}.union(
        *(image[name] for image in images for name in ("neg_category_ids", "not_exhaustive_category_ids"))
    )
    part = {
        **truth,
        "images": images,
        "annotations": annotations,
        "categories": [category for category in truth["categories"] if category["id"] in judged],
    }
    path = tmp_path_factory.mktemp("lvis") / "crowded.json"
    path.write_text(json.dumps(part))
    return path, part


@pytest.fixture
def small_truth() -> dict:
    """Three images, three categories in descending order of id, one of them without objects; no large object."""

    def ann(number, image, category, box, **more):
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "iscrowd": 0,
            "area": box[2] * box[3],
            **more,
        }

    return {
        "images": [{"id": image, "width": 200, "height": 100, "file_name": f"{image}.jpg"} for image in (7, 3, 5)],
        "categories": [{"id": 9, "name": "zebra"}, {"id": 2, "name": "ant"}, {"id": 5, "name": "moth"}],
        "annotations": [ann(1, 7, 9, [10, 10, 40, 40]), ann(2, 7, 2, [100, 10, 20, 20]), ann(3, 3, 9, [5, 5, 60, 50])],
    }
