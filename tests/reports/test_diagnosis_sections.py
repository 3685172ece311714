"""What a report says about a detector's errors: where to cut, what is confused, what may be labelled wrongly."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from frozen_det.evaluation.diagnosis import Diagnosis
from frozen_det.pages.blocks import Figure, KeyFigures, Pairs, Table, Text
from frozen_det.reports.diagnosis.doubtful import doubtful_blocks
from frozen_det.reports.diagnosis.errors import calibration_blocks, confusion_blocks, error_blocks
from frozen_det.reports.diagnosis.thresholds import threshold_blocks
from frozen_det.reports.passes import diagnosis_of, moment, other_metric
from frozen_det.reports.run_record import RunRecord
from tests.evaluation.passes import CAT, DOG, HERE, THERE, evaluated, truth_dict

OBJECTS = [("a", CAT, HERE, 0), ("a", DOG, THERE, 0), ("b", CAT, HERE, 0)]
FOUND = [("a", CAT, HERE, 0.9), ("a", CAT, THERE, 0.8), ("b", CAT, HERE, 0.7), ("b", DOG, THERE, 0.6)]


def tables(blocks):
    return [block for block in blocks if isinstance(block, Table)]


def test_the_suggested_threshold_leads_with_what_it_gives_each_class():
    blocks = threshold_blocks(Diagnosis(evaluated(OBJECTS, FOUND)))
    assert blocks[0] == KeyFigures(
        [
            ("0.7", "suggested score threshold"),
            ("0.67", "F1 there, all objects pooled"),
            ("66.7", "precision, percent"),
            ("66.7", "recall, percent"),
        ]
    )
    assert tables(blocks)[0].rows == [
        ["cat", "2", "0.7", "80.0", "80.0", "66.7", "100.0"],
        ["dog", "1", "", "", "0.0", "", "0.0"],
    ]


@pytest.mark.parametrize(
    "objects, found, why",
    [
        ([], FOUND, "there is no object to be found"),
        (OBJECTS, [], "of 0 detections none finds one of the 3 objects"),
    ],
)
def test_where_nothing_can_be_suggested_one_sentence_says_why(objects, found, why):
    (block,) = threshold_blocks(Diagnosis(evaluated(objects, found)))
    assert why in block.text


def test_few_classes_get_a_matrix_and_the_confusions_as_a_table():
    drawing, table = confusion_blocks(Diagnosis(evaluated(OBJECTS, FOUND)))
    assert isinstance(drawing, Figure) and drawing.wide
    assert table.rows == [["dog", "cat", "1", "100.0"]]


def test_many_classes_get_tables_alone():
    classes = tuple((f"class {n}", n) for n in range(80))
    objects = [("a", 1, HERE, 0), ("a", 2, THERE, 0)]
    found = [("a", 7, HERE, 0.9), ("b", 8, HERE, 0.9), ("b", 3, THERE, 0.1)]  # nothing right: cut at 0.3
    blocks = confusion_blocks(Diagnosis(evaluated(objects, found, classes=classes)))
    assert [block.rows for block in blocks] == [
        [["class 1", "class 7", "1", "100.0"]],
        [["class 2", "1", "100.0"]],
        [["class 8", "1", "100.0"]],
    ]


def test_lvis_has_no_confusions_and_says_why():
    lists = dict(neg_category_ids=[], not_exhaustive_category_ids=[])
    (block,) = confusion_blocks(Diagnosis(evaluated(OBJECTS, FOUND, federated=True, **lists)))
    assert isinstance(block, Text) and block.text.startswith("Left out for LVIS")


@pytest.mark.parametrize("objects, found", [([], []), (OBJECTS, []), ([], FOUND)])
def test_empty_sets_give_words_and_no_fault(objects, found, tmp_path):
    diagnosis = Diagnosis(evaluated(objects, found))
    run = RunRecord(tmp_path, "run")
    for blocks in (confusion_blocks, error_blocks, calibration_blocks):
        assert all(block.html() for block in blocks(diagnosis))
    assert doubtful_blocks(run, diagnosis, tmp_path)[0].text.startswith("4 detections" if found else "None")


def test_doubtful_labels_are_shown_large_with_both_classes(tmp_path):
    for name in "ab":
        Image.fromarray(np.full((100, 100, 3), 200, np.uint8)).save(tmp_path / f"{name}.jpg")
    ann_file = tmp_path / "val.json"
    ann_file.write_text(json.dumps(truth_dict(OBJECTS)))
    run = RunRecord(tmp_path, "run")
    dataset = dict(type="frozen_det.CocoDataset", ann_file=str(ann_file), data_prefix=dict(img=str(tmp_path)))
    run.config = Config(dict(val_dataloader=dict(dataset=dataset)))
    blocks = doubtful_blocks(run, Diagnosis(evaluated(OBJECTS, FOUND)), tmp_path / "files")
    pairs = next(block for block in blocks if isinstance(block, Pairs))
    assert run.missing == []
    assert [pair.caption for pair in pairs.pairs] == ["a.jpg: cat (0.80) where dog is annotated"]
    with Image.open(pairs.pairs[0].path) as picture:
        assert picture.height >= 360


def test_the_diagnosis_is_of_the_best_checkpoints_validation(tmp_path):
    run = RunRecord(tmp_path, "run")
    assert diagnosis_of(run) is None and run.missing == []
    evaluated(OBJECTS, []).write(tmp_path / "detections" / "last.npz", epoch=3)
    assert moment(diagnosis_of(run).found) == "validation after epoch 3, 2 images"
    evaluated(OBJECTS, FOUND).write(tmp_path / "detections" / "best.npz", checkpoint="runs/best_2.pth")
    assert moment(diagnosis_of(run).found) == "validation of best_2.pth, 2 images"
    (tmp_path / "detections" / "best.npz").write_bytes(b"")
    assert diagnosis_of(run) is None and "evaluated pass 1" in run.missing[0]


def test_a_run_with_another_metric_is_told_which(tmp_path):
    run = RunRecord(tmp_path, "run")
    run.config = Config(dict(val_evaluator=[dict(type="CocoPanopticMetric")]))
    assert other_metric(run) == "CocoPanopticMetric"
    run.config = Config(dict(val_evaluator=dict(type="frozen_det.LVISMetric")))
    assert other_metric(run) is None
