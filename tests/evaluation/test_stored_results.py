"""Stored detections give the same numbers again, with and without their annotation file, in every engine."""

import json
import re

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation import CocoMetric, LVISMetric, evaluate_stored
from frozen_det.evaluation.evaluate import SETTINGS

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


@pytest.fixture
def stored(small_truth, tmp_path):
    """A prefix, and what changes the record beside it."""
    prefix = tmp_path / "{run}"
    evaluate(CocoMetric(outfile_prefix=str(prefix)), samples_of_masks(small_truth), small_truth)
    file = tmp_path / "{run}.evaluation.json"

    def change(**values):
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return prefix, change, json.loads(file.read_text())


@pytest.mark.parametrize(
    "key, value, message",
    [
        (None, None, r"got None in .*\(settings\); store the detections again"),
        (None, [1], r"got \[1\] in .*\(settings\)"),
        (None, "x", "got 'x' in"),
        (None, {}, r"got no federated in .*\(settings\.federated\)"),
        ("foo", 1, r"the settings federated, .* got 'foo' in .*\(settings\.foo\)"),
        (
            "federated",
            None,
            r"True or False, got None in .*\{run\}.evaluation.json \(settings.federated\)",
        ),
        ("iou_types", "bbox", r"got 'bbox' in .*\(settings.iou_types\); store the detections again"),
        ("iou_types", [], "iou_types"),
        ("image_ids", [], "image_ids as a list of ids"),
        ("image_ids", [True], "image_ids as a list of ids"),
        ("image_ids", 7, "image_ids as a list of ids"),
        ("category_ids", [[1]], "category_ids as a list of ids"),
        ("iou_thresholds", [float("nan")], r"got \[nan\] in .*\(settings.iou_thresholds\)"),
        ("iou_thresholds", 0.5, "iou_thresholds as numbers"),
        ("max_detections", [1, 10, 100], "max_detections as limits"),
        ("max_detections", {"bbox": 100}, r"got 100 in .*\(settings.max_detections\['bbox'\]\)"),
        ("fixed_ap", "yes", "fixed_ap as True or False"),
    ],
)
def test_a_record_with_other_settings_is_refused_by_file_and_key(stored, key, value, message):
    prefix, change, record = stored
    change(settings=value if key is None else {**record["settings"], key: value})
    with pytest.raises(InputError, match=message):
        evaluate_stored(prefix)


@pytest.mark.parametrize("key", SETTINGS)
def test_a_record_without_a_setting_is_refused(stored, key):
    prefix, change, record = stored
    change(settings={name: value for name, value in record["settings"].items() if name != key})
    with pytest.raises(InputError, match=rf"got no {key} in .*\(settings\.{key}\)"):
        evaluate_stored(prefix)


@pytest.mark.parametrize("value", [5, "", [], {}, False])
def test_a_record_with_no_path_for_its_annotations_is_refused(stored, value):
    prefix, change, _ = stored
    change(ann_file=value)
    with pytest.raises(InputError, match=rf"got {re.escape(repr(value))} in .*evaluation.json \(ann_file\)"):
        evaluate_stored(prefix)


def test_a_record_without_annotations_or_settings_is_refused(stored):
    prefix, _, record = stored
    for key in ("ann_file", "settings"):
        lacking = {name: value for name, value in record.items() if name != key}
        prefix.with_name("{run}.evaluation.json").write_text(json.dumps(lacking))
        with pytest.raises(InputError, match=rf"got none in .*\({key}\)"):
            evaluate_stored(prefix)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(image_ids=[]), r"image_ids as a list of ids .* got \[\] \(evaluate_stored: image_ids=...\)"),
        (dict(category_ids=[]), "category_ids as a list of ids"),
        (dict(max_detections={"bbox": 100}), r"max_detections\['bbox'\] as whole numbers"),
        (dict(max_detections=[1, 10, 100]), "max_detections as limits"),
        (dict(iou_types=None), "iou_types as a list"),
        (dict(image_idz=[1]), "got 'image_idz' .*did you mean 'image_ids'"),
        (dict(engine=["hotcoco"]), r"the name of an engine, or 'auto', got \['hotcoco'\]"),
        (dict(ann_file=5), r"the path of an annotation json, got 5 \(ann_file"),
        (dict(ann_file=""), "the path of an annotation json, got ''"),
        (dict(ann_file={"images": []}), "the path of an annotation json"),
        (dict(ann_file="x" * 300), "got none at xxx"),
    ],
)
def test_arguments_of_another_kind_are_refused(stored, arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate_stored(stored[0], **arguments)


@pytest.mark.parametrize("prefix, message", [(None, "as a path, got None"), (5, "got 5"), ("x" * 300, "got no xxx")])
def test_a_prefix_under_which_nothing_can_be_stored_is_refused(prefix, message):
    with pytest.raises(InputError, match=message):
        evaluate_stored(prefix)


def test_results_without_what_is_evaluated_are_refused_by_file(coco128, tmp_path):
    path, truth = coco128
    prefix = tmp_path / "run"
    samples = samples_of(truth, "perfect", with_masks=True)
    metric = CocoMetric(ann_file=str(path), metric=["bbox", "segm"], outfile_prefix=str(prefix), format_only=True)
    evaluate(metric, samples, truth)
    boxes, masks = (tmp_path / f"run.{kind}.json" for kind in ("bbox", "segm"))
    content = boxes.read_text(), masks.read_text()
    for file, other, kind in ((masks, content[0], "segmentation"), (boxes, content[1], "bbox")):
        file.write_text(other)
        with pytest.raises(InputError, match=f"got no {kind} in entry 0 of .*{file.name}"):
            evaluate_stored(prefix, iou_types=["segm" if file == masks else "bbox"])
    masks.write_text("[]")
    assert evaluate_stored(prefix, iou_types=["segm"]).numbers["segm"]["mAP"] == 0
