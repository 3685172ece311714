"""Two processes that each saw half of the images give the numbers of one that saw all."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from frozen_det.evaluation import CocoMetric

from .test_coco_metric import evaluate, samples_of_masks


def _rank(rank: int, store: str, truth: dict, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    metric = CocoMetric(metric=["bbox", "segm"])
    metric.dataset_meta = {"classes": tuple(category["name"] for category in truth["categories"])}
    samples = samples_of_masks(truth)
    metric.process({}, (samples + samples[:1])[rank::2])  # three images on two ranks: one is padded
    numbers = metric.evaluate(size=len(samples))
    Path(folder, f"{rank}.json").write_text(json.dumps(numbers))
    dist.barrier()
    os._exit(0)  # one interpreter in ten that is taken down in order is aborted by gloo's own threads (torch 2.11)


@pytest.mark.distributed
def test_both_ranks_report_the_numbers_of_a_single_process(small_truth, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    ranks = [
        spawn.Process(target=_rank, args=(rank, str(tmp_path / "store"), small_truth, str(tmp_path)))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=120)
    assert [process.exitcode for process in ranks] == [0, 0]
    alone = evaluate(CocoMetric(metric=["bbox", "segm"]), samples_of_masks(small_truth), small_truth)
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == alone
