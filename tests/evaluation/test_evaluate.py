"""Settings and detections of another kind are refused by name; lists may be arrays and iterators."""

from dataclasses import replace

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.engines import open_engine
from frozen_det.evaluation.evaluate import SETTINGS, evaluate_detections

from .test_ground_truth import found_in, synthetic_truth


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(iou_types=5), "expected iou_types as a list of bbox, segm, proposal, got 5"),
        (dict(iou_types=[["bbox"]]), "iou_types"),
        (dict(federated="no"), "federated as True or False, got 'no'"),
        (dict(fixed_ap="no"), "fixed_ap as True or False, got 'no'"),
        (dict(iou_thresholds=0.5), "iou_thresholds as numbers above 0 and up to 1, got 0.5"),
        (dict(iou_thresholds=[True]), "iou_thresholds"),
        (dict(iou_thresholds=[float("nan")]), "iou_thresholds"),
        (dict(iou_thresholds=False), "iou_thresholds"),
        (dict(max_detections=[1, 10, 100]), r"max_detections as limits .* got \[1, 10, 100\]"),
        (dict(max_detections=0), "max_detections"),
        (dict(max_detections=[]), "max_detections"),
        (dict(max_detections={"box": [5]}), r"bbox, segm, proposal, .* got \{'box': \[5\]\}"),
        (dict(max_detections={"bbox": 100}), r"max_detections\['bbox'\] as whole numbers .*, got 100"),
        (dict(max_detections={"bbox": None}), "whole numbers from 1 on"),
        (dict(max_detections={"bbox": [True]}), "whole numbers from 1 on"),
        (dict(max_detections={"bbox": [10**30]}), "up to 1000000, which no image reaches"),
        (dict(image_ids=[]), r"image_ids as a list of ids .* at least one, or None for all, got \[\] \(image_ids"),
        (dict(image_ids=np.zeros(0)), "at least one"),
        (dict(image_ids=iter(())), "at least one"),
        (dict(image_ids=5), "got 5"),
        (dict(image_ids="12"), "got '12'"),
        (dict(image_ids=[True]), r"got \[True\]"),
        (dict(image_ids=np.ones((1, 1), int)), "image_ids as a list"),
        (dict(category_ids=[]), r"category_ids as a list .* got \[\]"),
        (dict(category_ids=[None]), r"category_ids as a list .* got \[None\]"),
        (dict(category_ids=[{}]), "category_ids as a list"),
    ],
)
def test_settings_of_another_kind_are_refused(settings, message):
    truth = synthetic_truth()
    with pytest.raises(InputError, match=message):
        evaluate_detections(open_engine(truth), found_in(truth), **settings)


def test_settings_may_be_arrays_and_iterators():
    truth = synthetic_truth()
    engine, found = open_engine(truth), found_in(truth)
    wanted = evaluate_detections(
        engine, found, image_ids=[1], iou_thresholds=[0.5, 0.75], max_detections={"bbox": [1, 10]}
    )
    got = evaluate_detections(
        engine,
        found,
        iou_types=iter(["bbox", "bbox"]),
        image_ids=np.array([1]),
        iou_thresholds=iter(np.array([0.5, 0.75], np.float32)),
        max_detections={"bbox": np.array([1, 10])},
    )
    assert got == wanted and set(got.numbers) == {"bbox"}


@pytest.mark.parametrize(
    "given, message",
    [
        (None, "expected Detections of 'bbox', got a NoneType"),
        ([{"image_id": 1}], "got a list .*from_coco_results"),
        ({}, r"got only those of \[\]"),
        ({"bbox": []}, "got a list"),
    ],
)
def test_what_is_no_detections_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        evaluate_detections(open_engine(synthetic_truth()), given)


def test_masks_are_evaluated_of_detections_with_masks_or_of_none(coco128):
    truth = open_engine(str(coco128[0]))
    found = found_in(synthetic_truth())
    with pytest.raises(InputError, match="with masks, because 'segm' is evaluated, got .* boxes alone"):
        evaluate_detections(truth, replace(found, masks=None), iou_types=("segm",))
    nothing = found.take(np.zeros(len(found), bool))
    assert evaluate_detections(truth, replace(nothing, masks=None), iou_types=("segm",)).numbers["segm"]["mAP"] == 0


def test_a_ground_truth_without_categories_is_refused():
    truth = dict(synthetic_truth(), categories=[], annotations=[])
    with pytest.raises(InputError, match="at least one category in the given dict"):
        evaluate_detections(open_engine(truth), Detections.from_coco_results([]))


def test_the_settings_that_are_stored_are_the_arguments():
    assert evaluate_detections.__kwdefaults__ == SETTINGS
