"""Ground truth of any ids is counted exactly by every engine, and what no engine counts rightly is refused by name."""

import copy
import json

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation.detections import Detections, PackedMasks
from frozen_det.evaluation.engines import open_engine
from frozen_det.evaluation.evaluate import evaluate_detections
from frozen_det.evaluation.ground_truth import read_truth
from frozen_det.evaluation.run_lengths import run_length

from .test_engines import ENGINES

HW = (40, 60)


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def synthetic_truth(ids=(1, 2, 3), categories=(1, 2)) -> dict:
    """An object of each category in each of three images, one larger than 32 px."""
    annotations = []
    for row, image in enumerate(ids):
        for column, category in enumerate(categories):
            x, y, side = 2 + 25 * column, 1 + row, 34 if row == column == 0 else 12
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image,
                    "category_id": category,
                    "iscrowd": 0,
                    "bbox": [x, y, side, side],
                    "area": side * side,
                    "segmentation": square(x, y, side),
                }
            )
    return {
        "images": [
            {
                "id": image,
                "height": HW[0],
                "width": HW[1],
                "file_name": f"{number}.jpg",
                "neg_category_ids": list(categories),
                "not_exhaustive_category_ids": [],
            }
            for number, image in enumerate(ids)
        ],
        "categories": [
            {"id": one, "name": f"class {number}", "frequency": "rf"[number]} for number, one in enumerate(categories)
        ],
        "annotations": annotations,
    }


def found_in(truth: dict) -> Detections:
    """All objects but the last; boxes of the first image have the lower scores, so that mixing images up shows."""
    anns = truth["annotations"][:-1]
    label_of = {one["id"]: label for label, one in enumerate(truth["categories"])}
    of = {
        image["id"]: [(number, ann) for number, ann in enumerate(anns) if ann["image_id"] == image["id"]]
        for image in truth["images"]
    }
    return Detections.from_images(
        [
            {
                "img_id": image,
                "labels": [label_of[ann["category_id"]] for _, ann in rows],
                "boxes_xyxy": [[x, y, x + w, y + h] for x, y, w, h in [ann["bbox"] for _, ann in rows]],
                "scores": [0.1 * (number + 1) for number, _ in rows],
                "mask_scores": None,
                "masks": PackedMasks.pack([run_length(ann["segmentation"], HW) for _, ann in rows]),
            }
            for image, rows in of.items()
        ],
        list(label_of),
        with_masks=True,
    )


def numbers(truth: dict, engine: str, **settings) -> dict:
    return evaluate_detections(
        open_engine(copy.deepcopy(truth), settings.get("federated", False), engine),
        found_in(truth),
        iou_types=("bbox", "segm"),
        **settings,
    ).flat()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "ids, categories",
    [
        ([2**53 + 1, 2**53 + 2, 2**53 + 3], (1, 2)),
        ([2**63 + 1, 2**63 + 2, 2**70], (1, 2)),
        (["b", "a", "7"], (1, 2)),
        ([-9, -1, 0], (1, 2)),
        ([1, 2, 3], (-1, 0)),
        ([1, 2, 3], ("x", "y")),
        ([1, 2, 3], (2**53, 2**53 + 1)),
    ],
)
def test_ids_of_any_kind_give_the_numbers_of_small_ones(engine, ids, categories):
    expected = numbers(synthetic_truth(), engine)
    assert numbers(synthetic_truth(ids, categories), engine) == expected
    # Five of six objects, in order of score: class 0 whole, class 1 two thirds of the recall steps.
    np.testing.assert_allclose(expected["bbox_mAP"], (1 + 67 / 101) / 2)
    np.testing.assert_allclose(expected["segm_mAP"], expected["bbox_mAP"])


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_lvis_takes_ids_of_any_kind_too(engine):
    expected = numbers(synthetic_truth(), engine, federated=True)
    assert numbers(synthetic_truth(("q", "p", "o"), (2**60 + 1, 2**60 + 2)), engine, federated=True) == expected
    np.testing.assert_allclose([expected["bbox_APr"], expected["bbox_APf"]], [1, 67 / 101])


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_lvis_counts_crowds_as_objects_and_passes_over_what_is_ignored(engine):
    """lvis-api 0.5.3: its IoU has no crowds; an object with `ignore` is like one outside the area range."""
    plain, crowd, ignored = synthetic_truth(), synthetic_truth(), synthetic_truth()
    for ann in crowd["annotations"][::2]:
        ann["iscrowd"] = 1
    ignored["annotations"][-1]["ignore"] = 1  # the one that is missed
    assert numbers(crowd, engine, federated=True) == numbers(plain, engine, federated=True)
    without = numbers(ignored, engine, federated=True)
    np.testing.assert_allclose([without["bbox_APf"], without["segm_APf"]], 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_ignore_means_nothing_to_coco_and_a_crowd_is_one(engine):
    """pycocotools overwrites `ignore` by `iscrowd`."""
    ignored, crowd = synthetic_truth(), synthetic_truth()
    ignored["annotations"][-1]["ignore"] = 1
    crowd["annotations"][-1]["iscrowd"] = 1
    assert numbers(ignored, engine) == numbers(synthetic_truth(), engine)
    np.testing.assert_allclose(numbers(crowd, engine)["bbox_mAP"], 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_proposals_of_some_categories_are_judged_by_their_objects_alone(engine):
    truth = synthetic_truth()
    result = evaluate_detections(
        open_engine(truth, name=engine), found_in(truth), iou_types=("proposal",), category_ids=[2]
    )
    np.testing.assert_allclose(result.numbers["proposal"]["AR@100"], 2 / 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_name_of_any_bytes_is_no_matter_to_an_engine(engine):
    truth = synthetic_truth()
    truth["images"][0]["file_name"] = "caf\udce9.jpg"
    assert numbers(truth, engine) == numbers(synthetic_truth(), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_area_beyond_the_image_is_unknown_and_counted(engine):
    truth = synthetic_truth()
    truth["annotations"][1]["area"] = 1e200
    assert numbers(truth, engine) == numbers(synthetic_truth(), engine)
    assert any("1 of them have an 'area' beyond their image" in note for note in read_truth(truth).notes)


def test_a_ground_truth_without_a_file_is_named_by_its_first_image():
    truth = synthetic_truth()
    truth["annotations"][2]["bbox"] = [1, 2, 3]
    with pytest.raises(InputError, match=r"^the given dict \(its first image is 0\.jpg\): annotations\[2\]"):
        read_truth(truth)


REFUSED = {
    "a flag as text": (lambda t: t["annotations"][2].update(iscrowd="0"), r"annotations\[2\].*iscrowd as 0 or 1"),
    "a flag without value": (lambda t: t["annotations"][2].update(iscrowd=None), "iscrowd as 0 or 1"),
    "a negative area": (lambda t: t["annotations"][2].update(area=-1), "area as a number not below 0, got -1"),
    "a box of three": (lambda t: t["annotations"][2].update(bbox=[1, 2, 3]), "four finite numbers"),
    "a box with NaN": (lambda t: t["annotations"][2].update(bbox=[1, 2, float("nan"), 3]), "four finite numbers"),
    "an unlisted image": (lambda t: t["annotations"][2].update(image_id=77), "'images' as image_id, got 77"),
    "an id as text": (lambda t: t["annotations"][2].update(image_id="1"), "'images' as image_id, got '1'"),
    "an unlisted class": (lambda t: t["annotations"][2].update(category_id=9), "'categories' as category_id, got 9"),
    "ids of two kinds": (lambda t: t["images"][1].update(id="2"), r"images\[1\] \(id '2'\): expected a whole number"),
    "an image twice": (lambda t: t["images"].append(t["images"][0]), "each id in 'images' once, got it 2 times"),
    "an object twice": (lambda t: t["annotations"][2].update(id=0), "each id in 'annotations' once"),
    "no image": (lambda t: t.update(images=[], annotations=[]), "at least one image"),
    "four numbers as polygon": (lambda t: t["annotations"][2].update(segmentation=[[1, 2, 3, 4]]), "three corners"),
    "a point far away": (
        lambda t: t["annotations"][2].update(segmentation=[[1, 1, 1e9, 1, 1e9, 5]]),
        r"annotations\[2\].*the coordinate 1e\+09, far from the image",
    ),
    "runs that do not fill": (
        lambda t: t["annotations"][2].update(segmentation={"size": HW, "counts": [5, 5]}),
        "sum up to 10 instead of 40 x 60",
    ),
    "a blank name": (lambda t: t["categories"][0].update(name=" "), r"categories\[0\].*a text as name, got ' '"),
    "half a character": (lambda t: t["categories"][1].update(name="caf\ud83d"), r"categories\[1\].*whole characters"),
    "objects listed twice": (lambda t: json.dumps(t)[:-1] + ', "annotations": []}', "'annotations' 2 times"),
    "a mask of another size": (
        lambda t: t["annotations"][2].update(segmentation={"size": [5, 5], "counts": [25]}),
        r"size \[5, 5\] on an image of \[40, 60\]",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_engines_would_count_wrongly_is_refused_with_its_entry(tmp_path, kind):
    damage, message = REFUSED[kind]
    truth = synthetic_truth()
    text = damage(truth)
    path = tmp_path / "truth.json"
    path.write_text(text if isinstance(text, str) else json.dumps(truth))
    with pytest.raises(InputError, match=message) as refusal:
        open_engine(str(path))
    assert "truth.json" in str(refusal.value)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda t: t["images"][1].pop("neg_category_ids"), r"images\[1\].*the list neg_category_ids"),
        (lambda t: [image.pop("not_exhaustive_category_ids") for image in t["images"]], "3 entries in all"),
        (lambda t: t["images"][1].update(neg_category_ids=None), "the list neg_category_ids"),
        (lambda t: t["images"][1].update(neg_category_ids=["1"]), r"neg_category_ids of category ids.*got \['1'\]"),
        (lambda t: t["images"][1].update(not_exhaustive_category_ids=[[1]]), "the list not_exhaustive_category_ids"),
        (lambda t: t["categories"][0].pop("frequency"), "a frequency 'r', 'c' or 'f'"),
        (lambda t: t["categories"][0].update(frequency="x"), "got frequency 'x'"),
    ],
)
def test_lvis_asks_for_both_lists_of_every_image_and_a_group_of_every_category(damage, message):
    truth = synthetic_truth()
    damage(truth)
    with pytest.raises(InputError, match=message):
        read_truth(truth, federated=True)
    read_truth(truth)  # COCO's rules need neither


def test_objects_without_masks_and_foreign_detections_are_refused():
    truth = synthetic_truth()
    engine = open_engine(copy.deepcopy(truth))
    found = found_in(truth)
    with pytest.raises(
        InputError, match="ids among the images of the given dict .its first image is 0.jpg., got 1 others, the first 5"
    ):
        evaluate_detections(engine, Detections(np.array([5]), np.ones((1, 4)), np.ones(1), np.array([1])))
    with pytest.raises(InputError, match="ids among the categories"):
        evaluate_detections(engine, Detections(np.array([1]), np.ones((1, 4)), np.ones(1), np.array([7])))
    found.masks[1]["size"] = [9, 9]
    with pytest.raises(InputError, match=r"masks of their image's size, got \[9, 9\] on image 1 of 40 x 60"):
        evaluate_detections(engine, found, iou_types=("segm",))
    del truth["annotations"][3]["segmentation"]
    with pytest.raises(InputError, match="1 without, the first a 'class 1' in image 2"):
        evaluate_detections(open_engine(truth), found_in(synthetic_truth()), iou_types=("segm",))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(iou_types=("box",)), "iou_types"),
        (dict(iou_thresholds=[50]), "iou_thresholds"),
        (dict(max_detections={"bbox": [0]}), "whole numbers from 1 on"),
        (dict(fixed_ap=True), "LVIS's rules alone"),
        (dict(image_ids=[1, 9]), "images"),
        (dict(category_ids=[9]), "categories"),
    ],
)
def test_settings_that_fit_nothing_are_refused(settings, message):
    truth = synthetic_truth()
    with pytest.raises(InputError, match=message):
        evaluate_detections(open_engine(truth), found_in(truth), **settings)
