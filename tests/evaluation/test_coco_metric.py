"""The metric in mmdet's place: same samples, same numbers, and defined answers where mmdet's breaks."""

import json
import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from frozen_det.errors import InputError
from frozen_det.evaluation import CocoMetric
from frozen_det.evaluation.run_lengths import run_length
from frozen_det.registry import METRICS

from .conftest import make_detections


def samples_of(truth: dict, kind: str, with_masks: bool = False, with_instances: bool = False) -> list[dict]:
    """Data samples as mmdet's evaluator hands them over: labels count categories in the order of the json."""
    detections = make_detections(truth, kind)
    label_of = {category["id"]: label for label, category in enumerate(truth["categories"])}
    samples = []
    for image in truth["images"]:
        rows = detections.take(detections.image_ids == image["id"])
        boxes = torch.tensor(rows.boxes_xywh, dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        predicted = {
            "bboxes": boxes,
            "scores": torch.tensor(rows.scores, dtype=torch.float32),
            "labels": torch.tensor([label_of[one] for one in rows.category_ids.tolist()], dtype=torch.long),
        }
        if with_masks:
            predicted["masks"] = rows.masks
        sample = {"img_id": image["id"], "ori_shape": (image["height"], image["width"]), "pred_instances": predicted}
        if with_instances:
            sample["instances"] = [
                {
                    "bbox": [x, y, x + w, y + h],
                    "bbox_label": label_of[ann["category_id"]],
                    "ignore_flag": ann["iscrowd"],
                    "mask": run_length(ann["segmentation"], sample["ori_shape"]),
                }
                for ann in truth["annotations"]
                if ann["image_id"] == image["id"]
                for x, y, w, h in [ann["bbox"]]
            ]
        samples.append(sample)
    return samples


def evaluate(metric, samples: list[dict], truth: dict) -> dict:
    metric.dataset_meta = {"classes": tuple(category["name"] for category in truth["categories"])}
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(size=len(samples))


@pytest.mark.parametrize("from_file", [True, False])
def test_the_numbers_are_those_of_mmdets_metric(coco128, from_file):
    from mmdet.evaluation import CocoMetric as HostMetric

    path, truth = coco128
    ann_file = str(path) if from_file else None
    samples = samples_of(truth, "jittered", with_masks=True, with_instances=not from_file)
    metrics = ["bbox", "segm"] if from_file else ["bbox"]
    built = METRICS.build(dict(type="frozen_det.CocoMetric", ann_file=ann_file, metric=metrics))
    ours = evaluate(built, samples, truth)
    host = evaluate(HostMetric(ann_file=ann_file, metric=metrics), samples, truth)
    for name, value in host.items():
        if from_file or name in ("coco/bbox_mAP", "coco/bbox_mAP_50", "coco/bbox_mAP_75"):
            assert round(ours[name], 3) == value, name  # mmdet rounds to three decimals
    assert len(ours) == 12 * len(metrics) and ours["coco/bbox_AR@100"] > ours["coco/bbox_mAP"] > 0.4


def test_objects_of_the_data_set_are_sized_by_their_masks_like_those_of_the_file(coco128):
    path, truth = coco128
    samples = samples_of(truth, "jittered", with_instances=True)
    of_file = evaluate(CocoMetric(ann_file=str(path)), samples, truth)
    of_set = evaluate(CocoMetric(), samples, truth)
    for name in ("mAP_s", "mAP_m", "mAP_l"):
        np.testing.assert_allclose(of_set[f"coco/bbox_{name}"], of_file[f"coco/bbox_{name}"], atol=5e-3)


def test_predicted_mask_tensors_are_encoded(small_truth):
    samples = samples_of_masks(small_truth)
    numbers = evaluate(CocoMetric(metric="segm"), samples, small_truth)
    np.testing.assert_allclose(numbers["coco/segm_mAP"], 1)


def samples_of_masks(truth: dict) -> list[dict]:
    """Perfect masks as bool tensors (n, 100, 200) for the annotated boxes of ``truth``."""
    label_of = {category["id"]: label for label, category in enumerate(truth["categories"])}
    samples = []
    for image in truth["images"]:
        anns = [ann for ann in truth["annotations"] if ann["image_id"] == image["id"]]
        masks = torch.zeros(len(anns), 100, 200, dtype=torch.bool)
        for mask, (x, y, w, h) in zip(masks, [ann["bbox"] for ann in anns]):
            mask[y : y + h, x : x + w] = True
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in [ann["bbox"] for ann in anns]]).reshape(-1, 4)
        labels = torch.tensor([label_of[ann["category_id"]] for ann in anns], dtype=torch.long)
        samples.append(
            {
                "img_id": image["id"],
                "ori_shape": (100, 200),
                "pred_instances": {
                    "bboxes": boxes.float(),
                    "scores": torch.ones(len(anns)),
                    "labels": labels,
                    "masks": masks,
                },
                "instances": [
                    {
                        "bbox": box.tolist(),
                        "bbox_label": int(label),
                        "ignore_flag": 0,
                        "mask": run_length([[*_corners(box.tolist())]], (100, 200)),
                    }
                    for box, label in zip(boxes, labels)
                ],
            }
        )
    return samples


def _corners(box):
    x1, y1, x2, y2 = box
    return x1, y1, x2, y1, x2, y2, x1, y2


def test_nothing_detected_is_zero_with_one_warning(small_truth, tmp_path, caplog):
    path = tmp_path / "truth.json"
    for ann in small_truth["annotations"]:
        x, y, width, height = ann["bbox"]
        ann["segmentation"] = [[*_corners((x, y, x + width, y + height))]]
    path.write_text(json.dumps(small_truth))
    metric = CocoMetric(ann_file=str(path), metric=["bbox", "segm"])
    empty = [
        dict(sample, pred_instances={name: value[:0] for name, value in sample["pred_instances"].items()})
        for sample in samples_of_masks(small_truth)
    ]
    warnings = WarningCounter()
    MMLogger.get_current_instance().addHandler(warnings)
    try:
        numbers = evaluate(metric, empty, small_truth)
        again = evaluate(metric, empty, small_truth)
    finally:
        MMLogger.get_current_instance().removeHandler(warnings)
    assert numbers["coco/bbox_mAP"] == numbers["coco/segm_mAP"] == 0 and numbers["coco/bbox_mAP_l"] == -1
    assert numbers == again
    assert len(warnings.messages) == 1 and "no bbox detections" in warnings.messages[0]
    assert "mAP_l" in warnings.messages[0]


class WarningCounter(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_nan_detections_are_dropped_and_images_never_shown_are_left_out(small_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(small_truth))
    first = samples_of_masks(small_truth)[0]  # two objects of image 7
    first["pred_instances"]["scores"][1] = float("nan")
    metric = CocoMetric(ann_file=str(path), classwise=True)
    numbers = evaluate(metric, [first], small_truth)
    assert numbers["coco/bbox_zebra_precision"] == pytest.approx(1) and numbers["coco/bbox_ant_precision"] == 0
    assert numbers["coco/bbox_moth_precision"] == -1
    notes = " ".join(metric._notes_given)
    assert "1 of 2 detections had a NaN" in notes and "2 of 3 annotated images were not shown" in notes


def test_an_image_seen_twice_counts_once(small_truth):
    samples = [{**sample, "img_path": f"{sample['img_id']}.jpg"} for sample in samples_of_masks(small_truth)]
    once = evaluate(CocoMetric(), samples, small_truth)
    metric = CocoMetric()
    twice = evaluate(metric, samples + samples[:1], small_truth)
    assert once == twice and "1 repeated images" in " ".join(metric._notes_given)


@pytest.mark.parametrize("label_order, zebra_label", [("classes", 1), ("file", 0)])
def test_labels_count_the_classes_of_our_data_sets_or_the_categories_of_the_file(
    small_truth, tmp_path, label_order, zebra_label
):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(small_truth))  # categories: zebra, ant, moth
    metric = CocoMetric(ann_file=str(path), label_order=label_order)
    metric.dataset_meta = {"classes": ("moth", "zebra")}
    sample = samples_of_masks(small_truth)[1]
    sample["pred_instances"]["labels"][:] = zebra_label
    metric.process({}, [sample])
    assert metric.evaluate(size=1)["coco/bbox_mAP"] == pytest.approx(1)
    assert ("another order" in " ".join(metric._notes_given)) == (label_order == "classes")


def test_a_class_that_only_the_training_file_lists_is_left_out(small_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(small_truth))
    metric = CocoMetric(ann_file=str(path), classwise=True)
    metric.dataset_meta = {"classes": ("ape", "zebra")}
    sample = samples_of_masks(small_truth)[1]
    sample["pred_instances"] = {
        "bboxes": torch.tensor([[5.0, 5, 65, 55], [5, 5, 65, 55]]),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([0, 1]),
    }
    metric.process({}, [sample])
    numbers = metric.evaluate(size=1)
    assert numbers["coco/bbox_zebra_precision"] == pytest.approx(1)
    assert "coco/bbox_ape_precision" not in numbers and "(ape)" in " ".join(metric._notes_given)


def test_wrong_settings_and_foreign_data_are_refused(small_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(small_truth))
    with pytest.raises(InputError, match="bbox, segm, proposal"):
        CocoMetric(metric="mask")
    with pytest.raises(InputError, match="bbox, segm, proposal"):
        CocoMetric(metric=None)
    with pytest.raises(InputError, match="outfile_prefix"):
        CocoMetric(format_only=True)
    metric = CocoMetric(ann_file=str(path))
    with pytest.raises(InputError, match="did you mean 'zebra'"):  # before training, not after the first epoch
        metric.dataset_meta = {"classes": ("zebr",)}
    with pytest.raises(InputError, match="gone.json"):
        CocoMetric(ann_file=str(tmp_path / "gone.json"))
    twins = tmp_path / "twins.json"
    twins.write_text(
        json.dumps(dict(small_truth, categories=[dict(one, name="ant") for one in small_truth["categories"]]))
    )
    with pytest.raises(InputError, match="'ant' more than once"):
        CocoMetric(ann_file=str(twins)).dataset_meta = {"classes": ("ant",)}
    sample = samples_of_masks(small_truth)[0]
    with pytest.raises(InputError, match="meta_keys of PackDetInputs"):
        CocoMetric().process({}, [{k: v for k, v in sample.items() if k != "instances"}])
    with pytest.raises(InputError, match="id 99"):
        evaluate(CocoMetric(ann_file=str(path)), [dict(sample, img_id=99)], small_truth)
    with pytest.raises(InputError, match="a mask .* for every object.* 3 without, the first a 'zebra' in image 7"):
        CocoMetric(ann_file=str(path), metric="segm").dataset_meta = {"classes": ("zebra", "ant")}
    del sample["pred_instances"]["masks"]
    with pytest.raises(InputError, match="boxes only"):
        evaluate(CocoMetric(metric="segm"), [sample], small_truth)


def test_all_digits_and_the_classes_are_written_into_the_run_folder(small_truth, tmp_path):
    (tmp_path / "20260101_000000").mkdir()
    logger = MMLogger.get_instance("run-folder", log_file=str(tmp_path / "20260101_000000" / "run.log"))
    with using_logger(logger):
        numbers = evaluate(CocoMetric(), samples_of_masks(small_truth), small_truth)
    written = list((tmp_path / "20260101_000000" / "evaluation").iterdir())
    assert [path.name for path in written] == ["coco_val.json"]
    record = json.loads(written[0].read_text())
    assert record["numbers"]["bbox"]["mAP"] == numbers["coco/bbox_mAP"]
    assert [row["name"] for row in record["classes"]["bbox"]] == ["zebra", "ant", "moth"]
    assert record["engine"].startswith("hotcoco") and record["num_images_without_detections"] == 1


def test_validations_of_a_run_are_distinguished_by_their_iteration(small_truth, tmp_path):
    folder = tmp_path / "20260101_000000"
    folder.mkdir()
    logger = MMLogger.get_instance("told-apart", log_file=str(folder / "run.log"))
    hub = MessageHub.get_instance("told-apart")
    for name, value in (("loop_stage", "val"), ("epoch", 0), ("iter", 44)):  # the host counts from 0
        hub.update_info(name, value)
    try:
        with using_logger(logger):
            evaluate(CocoMetric(), samples_of_masks(small_truth), small_truth)
    finally:
        MessageHub._instance_dict.pop("told-apart")
    record = json.loads((folder / "evaluation" / "coco_val_iter_45.json").read_text())
    assert (record["stage"], record["epoch"], record["iter"]) == ("val", 1, 45)


class using_logger:
    """Make ``logger`` mmengine's current one for a while."""

    def __init__(self, logger):
        self.logger = logger

    def __enter__(self):
        self.before = dict(MMLogger._instance_dict)
        MMLogger._instance_dict.clear()
        MMLogger._instance_dict[self.logger.instance_name] = self.logger

    def __exit__(self, *exc):
        MMLogger._instance_dict.clear()
        MMLogger._instance_dict.update(self.before)
