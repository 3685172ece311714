"""A work directory as a run leaves it, written by hand: two runs, the second resumed, with proof and pictures."""

import json

import numpy as np
import pytest
from PIL import Image


def train_line(step: int, loss: float, epoch: int = 1) -> dict:
    return {"lr": 0.01, "loss": loss, "loss_cls": loss / 2, "time": 0.5, "epoch": epoch, "iter": step, "step": step}


def val_line(epoch: int, ap: float, kinds=("bbox",)) -> dict:
    return {
        **{
            f"coco/{kind}_{name}": value
            for kind in kinds
            for name, value in (
                ("mAP", ap),
                ("mAP_50", ap + 0.2),
                ("mAP_75", ap - 0.1),
                ("mAP_s", ap),
                ("mAP_m", ap),
                ("mAP_l", -1.0),
                ("AR@1", ap),
                ("AR@100", ap + 0.1),
            )
        },
        "time": 0.1,
        "data_time": 0.0,
        "step": epoch,
    }


def write_run(work_dir, stamp: str, lines: list[dict], seed: int = 0, config: str = "") -> None:
    folder = work_dir / stamp / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.py").write_text(f"randomness = dict(seed={seed})\nwork_dir = '{work_dir.name}'\n{config}")
    (work_dir / stamp / f"{stamp}.log").write_text(
        "2026/01/01 - mmengine - INFO -\nSystem environment:\n    sys.platform: linux\n"
        "    Python: 3.11.7 (main, May)\n"
        f"    CUDA available: False\n    PyTorch compiling details: long\n    seed: {seed}\nConfig:\n    Python: no\n"
    )


def write_evaluation(work_dir, stamp: str, step: int, ap: float) -> None:
    folder = work_dir / stamp / "evaluation"
    folder.mkdir(exist_ok=True)
    row = {"AP": ap, "AP50": ap, "AP75": ap, "APs": ap, "APm": -1.0, "APl": -1.0, "AR": ap}
    (folder / f"coco_val_iter_{step}.json").write_text(
        json.dumps(
            {
                "prefix": "coco",
                "stage": "val",
                "epoch": 2,
                "iter": step,
                "numbers": {"bbox": {"mAP": ap}},
                "classes": {"bbox": [{"name": "ant & bee", "id": 1, **row}, {"name": "<zebra>", "id": 2, **row}]},
            }
        )
    )


def write_work_dir(work_dir, seed: int = 0, shift: float = 0.0, name: str = "arm", config: str = "") -> None:
    """Trained to step 40, killed, resumed from step 20."""
    work_dir.mkdir()
    (work_dir / f"{name}.py").write_text("")
    lines = [
        train_line(10, 4.0),
        train_line(20, 3.0),
        val_line(1, 0.2),
        train_line(30, 99.0, 2),
        train_line(40, 99.0, 2),
        val_line(2, 0.9),
    ]
    write_run(work_dir, "20260101_000000", lines, seed, config)
    write_run(
        work_dir,
        "20260102_000000",
        [train_line(30, 2.0, 2), train_line(40, 1.0, 2), val_line(2, 0.4 + shift)],
        seed,
        config,
    )
    write_evaluation(work_dir, "20260101_000000", 20, 0.2)
    write_evaluation(work_dir, "20260101_000000", 40, 0.9)
    write_evaluation(work_dir, "20260102_000000", 40, 0.4 + shift)
    (work_dir / "frozen_proof.json").write_text(
        json.dumps(
            {
                "modules": [
                    {
                        "name": "backbone",
                        "digest": "ab12cd34ef56" * 5,
                        "num_params": 2958848,
                        "num_buffers": 144,
                        "source": "package:weights",
                    }
                ],
                "checks": [
                    {"when": when, "iter": step, "epoch": 0, "unchanged": True}
                    for when, step in (("start", 0), ("checkpoint", 20), ("validation", 20), ("end", 40))
                ],
            }
        )
    )
    for epoch in (1, 2):
        folder = work_dir / "pictures" / f"epoch_{epoch:03d}"
        folder.mkdir(parents=True)
        Image.fromarray(np.full((90, 240, 3), 60 * epoch, np.uint8)).save(folder / "00_a.jpg")
        (folder / "index.json").write_text(
            json.dumps(
                {
                    "score_threshold": 0.3,
                    "epoch": epoch,
                    "iter": 20 * epoch,
                    "pictures": [
                        {"file": "00_a.jpg", "image": "a.jpg", "img_id": 1, "num_objects": 1, "num_predictions": 3}
                    ],
                }
            )
        )


@pytest.fixture
def work_dir(tmp_path):
    write_work_dir(tmp_path / "run")
    return tmp_path / "run"
