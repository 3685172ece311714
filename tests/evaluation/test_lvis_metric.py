"""LVIS numbers from data samples, and the refusal to evaluate without the federated lists."""

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.evaluation import LVISMetric, evaluate_detections
from frozen_det.evaluation.engines import open_engine

from .conftest import make_detections
from .test_coco_metric import evaluate, samples_of


@pytest.mark.parametrize("value", ["yes", None, 2])
def test_fixed_ap_of_another_kind_is_refused_before_training(value):
    with pytest.raises(InputError, match=r"fixed_ap as True or False, got .* \(LVISMetric.fixed_ap\)"):
        LVISMetric(fixed_ap=value)


def test_the_metric_gives_the_thirteen_numbers_of_the_engine(lvis100):
    path, truth = lvis100
    numbers = evaluate(LVISMetric(ann_file=str(path), fixed_ap=True), samples_of(truth, "jittered"), truth)
    expected = evaluate_detections(
        open_engine(str(path), federated=True), make_detections(truth, "jittered"), federated=True, fixed_ap=True
    ).flat()
    assert [name for name in numbers if "fixed" not in name] == [
        f"lvis/bbox_{name}"
        for name in (
            "AP",
            "AP50",
            "AP75",
            "APs",
            "APm",
            "APl",
            "APr",
            "APc",
            "APf",
            "AR@300",
            "ARs@300",
            "ARm@300",
            "ARl@300",
        )
    ]
    # Samples carry float32 boxes, as a detector's are.
    np.testing.assert_allclose(list(numbers.values()), list(expected.values()), atol=1e-3)


def test_only_listed_categories_judge_an_image(small_truth):
    sample = {
        "img_id": 7,
        "ori_shape": (100, 200),
        "instances": [],
        "neg_category_ids": [1],
        "not_exhaustive_category_ids": [],
    }
    found = {
        "img_id": 3,
        "ori_shape": (100, 200),
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [0],
        "instances": [
            {"bbox": [5, 5, 65, 55], "bbox_label": 0, "ignore_flag": 0},
            {"bbox": [70, 5, 130, 55], "bbox_label": 1, "ignore_flag": 0},
        ],
    }
    import torch

    def predicted(*rows):
        return {
            "bboxes": torch.tensor([row[0] for row in rows]).float(),
            "scores": torch.tensor([r[1] for r in rows]),
            "labels": torch.tensor([row[2] for row in rows]),
        }

    # Image 7: a false zebra goes unjudged (not listed), a false ant counts (negative list).
    sample["pred_instances"] = predicted(([0, 0, 9, 9], 0.9, 0), ([0, 0, 9, 9], 0.9, 1))
    # Image 3: a second zebra is no error (not exhaustive).
    found["pred_instances"] = predicted(([5, 5, 65, 55], 0.5, 0), ([70, 5, 130, 55], 0.5, 1), ([5, 60, 65, 90], 0.9, 0))
    metric = LVISMetric(classwise=True)
    metric.dataset_meta = {"classes": ("zebra", "ant"), "frequency": ("r", "f")}
    metric.process({}, [sample, found])
    numbers = metric.evaluate(size=2)
    assert numbers["lvis/bbox_zebra_precision"] == pytest.approx(1)
    assert numbers["lvis/bbox_ant_precision"] == pytest.approx(0.5)  # the false ant ranks first
    assert numbers["lvis/bbox_APr"] == pytest.approx(1) and numbers["lvis/bbox_APf"] == pytest.approx(0.5)
    assert numbers["lvis/bbox_APc"] == -1


def test_samples_without_the_lists_are_refused(coco128):
    with pytest.raises(InputError, match="neg_category_ids"):
        evaluate(LVISMetric(), samples_of(coco128[1], "empty", with_instances=True)[:1], coco128[1])


def test_lists_of_samples_hold_labels(coco128):
    sample = samples_of(coco128[1], "empty", with_instances=True)[0]
    sample.update(neg_category_ids=["a"], not_exhaustive_category_ids=[])
    with pytest.raises(InputError, match=r"expected labels in neg_category_ids of image .*, got \['a'\]"):
        evaluate(LVISMetric(), [sample], coco128[1])
