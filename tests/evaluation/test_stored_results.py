"""Stored detections give the same numbers again, with and without their annotation file, in every engine."""

import json

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation import CocoMetric, LVISMetric, evaluate_stored

from .test_coco_metric import evaluate, samples_of, samples_of_masks


def test_stored_detections_are_evaluated_again_to_the_last_digit(coco128, tmp_path):
    path, truth = coco128
    prefix = tmp_path / "deep" / "run"
    numbers = evaluate(
        CocoMetric(ann_file=str(path), metric=["bbox", "segm"], outfile_prefix=str(prefix)),
        samples_of(truth, "jittered", with_masks=True),
        truth,
    )
    again = evaluate_stored(prefix)
    assert {f"coco/{name}": value for name, value in again.flat().items()} == numbers
    other = evaluate_stored(prefix, engine="faster-coco-eval")
    np.testing.assert_allclose(list(other.flat().values()), list(numbers.values()), atol=1e-9)
    record = json.loads((tmp_path / "deep" / "run.evaluation.json").read_text())
    assert record["evaluation"]["numbers"]["bbox"]["mAP"] == numbers["coco/bbox_mAP"]
    first = json.loads((tmp_path / "deep" / "run.segm.json").read_text())[0]
    assert sorted(first) == ["category_id", "image_id", "score", "segmentation"]
    half = evaluate_stored(prefix, iou_types=["bbox"], iou_thresholds=[0.5])
    assert half.numbers["bbox"]["mAP"] == pytest.approx(numbers["coco/bbox_mAP_50"])


def test_lvis_detections_keep_their_rules(crowded_lvis, tmp_path):
    path, truth = crowded_lvis
    prefix = tmp_path / "run"
    numbers = evaluate(
        LVISMetric(ann_file=str(path), outfile_prefix=str(prefix), fixed_ap=True), samples_of(truth, "thousands"), truth
    )
    again = evaluate_stored(prefix)
    np.testing.assert_allclose(list(again.flat().values()), list(numbers.values()), atol=1e-12)


def test_ground_truth_of_the_data_set_is_stored_with_the_detections(small_truth, tmp_path):
    prefix = tmp_path / "run"
    numbers = evaluate(
        CocoMetric(metric=["bbox", "segm"], outfile_prefix=str(prefix)), samples_of_masks(small_truth), small_truth
    )
    assert evaluate_stored(prefix).flat() == {name.split("/")[1]: value for name, value in numbers.items()}


def test_format_only_stores_and_computes_nothing(small_truth, tmp_path):
    prefix = tmp_path / "run"
    metric = CocoMetric(format_only=True, outfile_prefix=str(prefix))
    assert evaluate(metric, samples_of_masks(small_truth), small_truth) == {}
    assert evaluate_stored(prefix).numbers["bbox"]["mAP"] == pytest.approx(1)


def test_what_is_missing_or_unknown_is_named(small_truth, tmp_path):
    with pytest.raises(InputError, match="outfile_prefix"):
        evaluate_stored(tmp_path / "nothing")
    prefix = tmp_path / "run"
    evaluate(CocoMetric(outfile_prefix=str(prefix)), samples_of_masks(small_truth), small_truth)
    with pytest.raises(InputError, match="'limit'"):
        evaluate_stored(prefix, limit=3)
    (tmp_path / "run.gt.json").unlink()
    with pytest.raises(InputError, match="give ann_file"):
        evaluate_stored(prefix)
    with pytest.raises(InputError, match="gone.json"):
        evaluate_stored(prefix, ann_file=tmp_path / "gone.json")
