"""Synthetic sets have the requested contents, and the measurement compares the numbers it times."""

import argparse
import json

import numpy as np
import pytest

from frozen_det.benchmarks import evaluation as benchmark_evaluation
from frozen_det.benchmarks.synthetic_evaluation_sets import SETS, read_detections, write_set


@pytest.mark.parametrize("name", ["coco", "lvis"])
def test_a_synthetic_set_has_the_requested_size_and_comes_back_from_disk(tmp_path, name):
    size = SETS[name].part(0.0008)  # 4 images
    write_set(size, tmp_path, with_masks=True)
    truth = json.loads((tmp_path / "truth.json").read_text())
    detections = read_detections(tmp_path / "detections.npz")
    assert len(truth["images"]) == 4 and len(truth["annotations"]) == 4 * size.objects_per_image
    assert len(detections) == len(detections.masks) == 4 * size.detections_per_image
    boxes = np.array([ann["bbox"] for ann in truth["annotations"]])
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 0] + boxes[:, 2] <= 640.01).all()
    assert {category["frequency"] for category in truth["categories"]} == {"f", "c", "r"}


def test_all_tools_give_the_numbers_that_are_timed(tmp_path):
    write_set(SETS["coco"].part(0.002), tmp_path, with_masks=True)
    rows = [
        benchmark_evaluation.measure(engine, tmp_path, "segm", False)
        for engine in ("hotcoco", "faster-coco-eval", "pycocotools")
    ]
    for row in rows[1:]:
        np.testing.assert_allclose(list(row["numbers"].values()), list(rows[0]["numbers"].values()), atol=1e-6)
    assert 0.05 < rows[0]["numbers"]["segm_mAP_50"] < 0.95
    assert rows[0]["num_detections"] == 1000
    assert all(row["seconds"] >= row["load_seconds"] + row["hand_over_seconds"] for row in rows)


def test_the_table_relates_every_time_to_ours():
    row = dict(
        set="coco",
        kind="bbox",
        num_detections=1000,
        seconds=0.5,
        load_seconds=0.1,
        hand_over_seconds=0.1,
        count_seconds=0.3,
        cpu_seconds=1.0,
        peak_mib=10,
    )
    text = benchmark_evaluation.table([dict(row, tool="frozen_det"), dict(row, tool="pycocotools", seconds=20.0)])
    assert text.splitlines()[-1].split()[-2:] == ["40.0", "1.0"]


def test_the_command_line_has_the_contracts_options():
    parser = argparse.ArgumentParser()
    benchmark_evaluation.add_arguments(parser)
    args = parser.parse_args(["--sets", "coco", "--iou-types", "bbox", "--shares", "0.1", "--json"])
    assert args.json and args.shares == [0.1]
