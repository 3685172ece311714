"""The engines agree with the references' own printed numbers, on real annotations and on the awkward cases."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.engines import open_engine
from frozen_det.evaluation.evaluate import evaluate_detections

from .conftest import KINDS, make_detections

ENGINES = ("hotcoco", "faster-coco-eval", "pycocotools")


def reference_coco_stats(path, detections: Detections, iou_type: str) -> np.ndarray:
    """pycocotools' own 12 stats; zeros where it cannot take an empty result."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if len(detections) == 0:
        return np.zeros(12)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluator = COCOeval(truth, truth.loadRes(detections.to_coco_results(iou_type)), iou_type)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def reference_lvis_numbers(path, detections: Detections, iou_type: str) -> list[float]:
    """faster-coco-eval's own 13 numbers in LVIS order."""
    from faster_coco_eval import COCO, COCOeval_faster

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluator = COCOeval_faster(
            truth, truth.loadRes(detections.to_coco_results(iou_type)), iou_type, lvis_style=True
        )
        evaluator.params.maxDets = [300]
        evaluator.run()
    stats = evaluator.stats_as_dict
    return [
        stats[name]
        for name in (
            "AP_all",
            "AP_50",
            "AP_75",
            "AP_small",
            "AP_medium",
            "AP_large",
            "APr",
            "APc",
            "APf",
            "AR_all",
            "AR_small",
            "AR_medium",
            "AR_large",
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_twelve_coco_numbers_equal_pycocotools(coco128, kind):
    path, truth = coco128
    detections = make_detections(truth, kind)
    ours = evaluate_detections(open_engine(str(path)), detections, iou_types=("bbox", "segm"))
    assert ours.engine.startswith("hotcoco")
    for iou_type in ("bbox", "segm"):
        expected = reference_coco_stats(path, detections, iou_type)
        np.testing.assert_allclose(list(ours.numbers[iou_type].values()), expected, atol=1e-6, rtol=0)
    if kind == "perfect":
        assert ours.numbers["bbox"]["mAP"] > 0.99


@pytest.mark.parametrize("name", ENGINES[1:])
@pytest.mark.parametrize("kind", ["jittered", "empty"])
def test_a_fall_back_gives_the_same_coco_numbers_and_classes(coco128, name, kind):
    path, truth = coco128
    detections = make_detections(truth, kind)
    first, other = (
        evaluate_detections(open_engine(str(path), name=engine), detections, iou_types=("bbox", "segm"))
        for engine in ("hotcoco", name)
    )
    for iou_type in ("bbox", "segm"):
        np.testing.assert_allclose(
            list(other.numbers[iou_type].values()), list(first.numbers[iou_type].values()), atol=1e-6, rtol=0
        )
        for row, expected in zip(other.classes[iou_type], first.classes[iou_type]):
            assert row.keys() == expected.keys() and row["name"] == expected["name"]
            np.testing.assert_allclose(row["APs"], expected["APs"], atol=1e-6)
            np.testing.assert_allclose(row["AP"], expected["AP"], atol=1e-6)


@pytest.mark.parametrize("kind", ["jittered", "duplicates"])
def test_the_thirteen_lvis_numbers_equal_faster_coco_eval(lvis100, kind):
    path, truth = lvis100
    detections = make_detections(truth, kind).best_per_image(300)
    ours = evaluate_detections(
        open_engine(str(path), federated=True), detections, federated=True, iou_types=("bbox", "segm")
    )
    for iou_type in ("bbox", "segm"):
        assert len(ours.numbers[iou_type]) == 13
        np.testing.assert_allclose(
            list(ours.numbers[iou_type].values()), reference_lvis_numbers(path, detections, iou_type), atol=1e-6, rtol=0
        )


def test_lvis_keeps_the_300_best_of_an_image_over_all_categories_in_both_engines(crowded_lvis):
    path, truth = crowded_lvis
    detections = make_detections(truth, "thousands")
    assert np.unique(detections.image_ids, return_counts=True)[1].max() > 300
    capped = reference_lvis_numbers(path, detections.best_per_image(300), "bbox")
    for name in ("hotcoco", "faster-coco-eval"):
        ours = evaluate_detections(open_engine(str(path), federated=True, name=name), detections, federated=True)
        np.testing.assert_allclose(list(ours.numbers["bbox"].values()), capped, atol=1e-6, rtol=0)
    assert abs(reference_lvis_numbers(path, detections, "bbox")[0] - capped[0]) > 1e-4  # the limit matters here


def test_a_limit_of_ones_own_holds_per_image_in_both_engines(crowded_lvis):
    path, truth = crowded_lvis
    detections = make_detections(truth, "jittered")
    numbers = [
        evaluate_detections(
            open_engine(str(path), federated=True, name=name), detections, federated=True, max_detections={"bbox": [5]}
        ).numbers["bbox"]
        for name in ("hotcoco", "faster-coco-eval")
    ]
    np.testing.assert_allclose(list(numbers[0].values()), list(numbers[1].values()), atol=1e-6)
    whole = evaluate_detections(open_engine(str(path), federated=True), detections, federated=True).numbers["bbox"]
    assert numbers[0]["AR@5"] < whole["AR@300"] - 0.1


def test_fixed_ap_counts_every_detection_of_an_image(crowded_lvis):
    path, truth = crowded_lvis
    detections = make_detections(truth, "thousands")
    ours, other = (
        evaluate_detections(
            open_engine(str(path), federated=True, name=name), detections, federated=True, fixed_ap=True
        ).numbers["bbox"]
        for name in ("hotcoco", "faster-coco-eval")
    )
    assert [name for name in ours if name.startswith("fixed")] == [
        "fixed_AP",
        "fixed_AP50",
        "fixed_AP75",
        "fixed_APs",
        "fixed_APm",
        "fixed_APl",
        "fixed_APr",
        "fixed_APc",
        "fixed_APf",
    ]
    np.testing.assert_allclose(list(ours.values()), list(other.values()), atol=1e-6)
    assert ours["fixed_AP"] != ours["AP"]


@pytest.mark.parametrize("name", ENGINES)
def test_no_detections_are_zero_and_a_missing_size_is_minus_one(small_truth, name):
    nothing = Detections.from_images([], [9, 2, 5])
    result = evaluate_detections(open_engine(small_truth, name=name), nothing)
    numbers = result.numbers["bbox"]
    assert numbers["mAP"] == numbers["mAP_50"] == numbers["AR@100"] == numbers["mAP_s"] == 0
    assert numbers["mAP_l"] == numbers["AR_l@100"] == -1
    assert any("no bbox detections" in note for note in result.notes)
    assert any("mAP_l" in note for note in result.notes)
    assert {row["name"]: row["AP"] for row in result.classes["bbox"]} == {"zebra": 0, "ant": 0, "moth": -1}


@pytest.mark.parametrize("name", ENGINES)
def test_an_annotation_without_area_is_sized_by_its_box_not_called_small(small_truth, name):
    truth = copy.deepcopy(small_truth)
    for ann in truth["annotations"]:
        del ann["area"], ann["iscrowd"]
    found = Detections.from_images(
        [
            {
                "img_id": 7,
                "boxes_xyxy": [[10, 10, 50, 50]],
                "scores": [0.9],
                "labels": [0],
                "masks": None,
                "mask_scores": None,
            }
        ],
        [9, 2, 5],
    )
    result = evaluate_detections(open_engine(truth, name=name), found)
    with_area = evaluate_detections(open_engine(small_truth, name=name), found)
    assert result.numbers == with_area.numbers
    assert any("3 annotations have no 'area'" in note for note in result.notes)


@pytest.mark.parametrize("name", ENGINES)
def test_an_object_with_id_zero_can_be_found(small_truth, name):
    small_truth["annotations"] = [dict(small_truth["annotations"][0], id=0)]
    found = Detections.from_images(
        [
            {
                "img_id": 7,
                "boxes_xyxy": [[10, 10, 50, 50]],
                "scores": [0.9],
                "labels": [0],
                "masks": None,
                "mask_scores": None,
            }
        ],
        [9, 2, 5],
    )
    assert evaluate_detections(open_engine(small_truth, name=name), found).numbers["bbox"]["mAP"] == pytest.approx(1)


@pytest.mark.parametrize("name", ENGINES)
def test_proposals_are_judged_without_categories(small_truth, name):
    found = Detections.from_images(
        [
            {
                "img_id": 7,
                "boxes_xyxy": [[10, 10, 50, 50]],
                "scores": [0.9],
                "labels": [2],
                "masks": None,
                "mask_scores": None,
            }
        ],
        [9, 2, 5],
    )
    numbers = evaluate_detections(open_engine(small_truth, name=name), found, iou_types=("proposal",)).numbers
    assert list(numbers["proposal"]) == ["AR@100", "AR@300", "AR@1000", "AR_s@1000", "AR_m@1000", "AR_l@1000"]
    np.testing.assert_allclose(numbers["proposal"]["AR@300"], 1 / 3)


@pytest.mark.parametrize("name", ENGINES)
def test_images_categories_and_thresholds_can_be_restricted(small_truth, name):
    found = Detections.from_images(
        [
            {
                "img_id": 7,
                "boxes_xyxy": [[10, 10, 50, 50]],
                "scores": [0.9],
                "labels": [0],
                "masks": None,
                "mask_scores": None,
            }
        ],
        [9, 2, 5],
    )
    engine = open_engine(small_truth, name=name)
    half = evaluate_detections(engine, found, iou_thresholds=[0.75])
    assert "mAP_50" not in half.numbers["bbox"]
    np.testing.assert_allclose(half.numbers["bbox"]["mAP"], 51 / 101 / 2)  # one of two zebras, no ant
    alone = evaluate_detections(engine, found, image_ids=[7], category_ids=[9])
    assert alone.numbers["bbox"]["mAP"] == pytest.approx(1) and alone.num_images == 1


def test_pycocotools_refuses_lvis_and_an_unknown_engine_is_named(small_truth):
    with pytest.raises(InputError, match="federated"):
        open_engine(small_truth, federated=True, name="pycocotools")
    with pytest.raises(InputError, match="did you mean 'hotcoco'"):
        open_engine(small_truth, name="hotcocoa")


def test_the_next_engine_steps_in_when_one_is_not_installed(small_truth, monkeypatch):
    from frozen_det.evaluation import engines

    monkeypatch.setattr(engines, "_version", lambda package: None if package == "hotcoco" else "1")
    assert open_engine(small_truth).name == "faster-coco-eval"
    monkeypatch.setattr(engines, "_version", lambda package: "1" if package == "pycocotools" else None)
    assert open_engine(small_truth).name == "pycocotools"
    with pytest.raises(InputError, match="pip install hotcoco"):
        open_engine(small_truth, federated=True)


@pytest.mark.parametrize("name", ENGINES)
def test_a_broken_annotation_file_is_named(tmp_path, name):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({"images": []})[:-1])
    with pytest.raises(InputError, match="broken.json"):
        open_engine(str(path), name=name)
