"""One run of the study: train by config as `frozen-det train` does, test once on the fold, resample the images."""

import base64
import json
import math
import shutil
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...engine.choices import Choices, chosen
from ...engine.runs import host_scope, new_runner
from ...engine.training import training_config
from ...errors import InputError
from ...evaluation.bootstrap import average_precisions, matched, resamples
from ...evaluation.detections import Detections
from ...evaluation.engines import open_engine
from ...evaluation.evaluate import evaluate_detections
from ..measurement import processor
from .arms import ARMS, BACKBONES, Arm, StudyRun
from .decoders import DECODERS, StudyDecoder
from .sets import SETS, write_folds

BATCH = 2
NUM_RESAMPLES = 200
_STEPS = 65535  # of a resample's AP in [0, 1], two bytes each


@dataclass(frozen=True)
class ShortTraining:
    """A training as all of the study are.

    Attributes:
        data: folder of the data.
        size: side of the images in px.
        backbone, weights: as of ``--backbone`` and ``--weights``.
        arm: how the backbone is used.
        rate: of AdamW.
        updates: steps of the optimiser, about: whole epochs.
        decoder: what is trained behind the backbone.
        seed: of the run.
        share, share_seed: of the training images.
    """

    data: Path
    size: int
    backbone: str
    weights: str | None
    arm: Arm
    rate: float
    updates: int
    decoder: StudyDecoder = DECODERS["light"]
    seed: int = 0
    share: float = 1.0
    share_seed: int = 0


def run_config(run: StudyRun, data: Path, work_dir: Path):
    """The config of a run.

    Args:
        run: the run.
        data: folder of its fold.
        work_dir: of the training.
    """
    arm = ARMS[run.arm]
    backbone, network = BACKBONES[run.backbone]
    training = ShortTraining(
        data,
        SETS[run.set].size,
        backbone if arm.pretrained else network,
        None if arm.pretrained else "random",
        arm,
        run.rate,
        run.updates,
        DECODERS[run.decoder],
        run.seed,
        run.share,
        run.fold,
    )
    return short_config(training, work_dir)


def short_config(one: ShortTraining, work_dir: Path):
    """The config of a short training; its folder, `work_dir`."""
    images = num_images(one.data, one.share)
    epochs = max(1, round(one.updates / math.ceil(images / BATCH)))
    options: dict[str, Any] = {**one.decoder.options, **one.arm.options, "optim_wrapper.optimizer.lr": one.rate}
    options["auto_scale_lr.enable"] = False
    options["train_cfg.val_interval"] = epochs
    options["default_hooks.checkpoint"] = dict(
        _delete_=True,
        type="frozen_det.LeanCheckpointHook",
        interval=epochs,
        max_keep_ckpts=1,
        save_optimizer=False,
        save_param_scheduler=False,
    )
    options["custom_hooks"] = [
        dict(type=f"frozen_det.{name}")
        for name in ("StepSeedHook", "FrozenProofHook", "NaNGuardHook", "NormStatisticsHook")
    ]
    options["visualizer.vis_backends"] = [dict(type="LocalVisBackend")]
    for split in ("train", "val", "test"):
        options[f"{split}_dataloader.num_workers"] = 0
        options[f"{split}_dataloader.persistent_workers"] = False
    options["test_dataloader.dataset.split"] = "test"
    choices = Choices(
        data=str(one.data),
        epochs=epochs,
        size=one.size,
        batch=BATCH,
        detector=one.decoder.detector,
        backbone=one.backbone,
        weights=one.weights,
        adapters=one.arm.adapters,
    )
    config, entries = chosen("custom_coco", choices, options, log=_quiet)
    share = None if one.share == 1 else one.share
    return training_config(
        config, entries, work_dir=work_dir, seed=one.seed, fraction=share, fraction_seed=one.share_seed, log=_quiet
    )


def num_images(data: Path, share: float) -> int:
    """Training images of a share: at least one of every class, otherwise the share rounded."""
    content = json.loads((data / "annotations" / "train.json").read_text(encoding="utf-8"))
    return max(1, round(share * len(content["images"])))


def measured(run: StudyRun, root: Path, work: Path) -> dict:
    """Train and test one run.

    Args:
        run: the run.
        root: of the data sets.
        work: folder for folds and, while it trains, for the run.

    Returns:
        a record: the run, its numbers, the resampled APs, times and sizes.
    """
    data = write_folds(SETS[run.set], root, work / "sets")[run.fold]
    folder = work / "runs" / run.key
    shutil.rmtree(folder, ignore_errors=True)
    wall, processed = time.perf_counter(), time.process_time()
    with quiet(work / "logs" / f"{run.key}.log"), host_scope():
        cfg = run_config(run, data, folder)
        runner = new_runner(cfg, concise=True)
        runner.train()
        trained_s = time.process_time() - processed
        last = dict(runner.message_hub.log_scalars)
        found = detections_of(runner)
    truth = _content(data / "annotations" / "test.json")
    numbers = evaluate_detections(open_engine(truth), found)
    content = matched(truth, found)
    counts = resamples(len(truth["images"]), NUM_RESAMPLES, seed=run.fold)
    with np.errstate(all="ignore"):
        resampled = np.nanmean(average_precisions(content, counts), axis=1)
    model = runner.model
    record = {
        **run.to_json(),
        "epochs": cfg.train_cfg.max_epochs,
        "steps": runner.iter,
        "train_images": len(runner.train_dataloader.dataset),
        "test_images": len(truth["images"]),
        "numbers": {name: round(value, 5) for name, value in numbers.numbers["bbox"].items()},
        "classes": {one["name"]: round(one["AP"], 5) for one in numbers.classes["bbox"]},
        "val_AP": round(_last(last, "val/coco/bbox_mAP"), 5),
        "loss": round(_last(last, "train/loss"), 4),
        "resampled": packed(resampled),
        "trained_params": sum(one.numel() for one in model.parameters() if one.requires_grad),
        "params": sum(one.numel() for one in model.parameters()),
        "lean_bytes": max((path.stat().st_size for path in folder.glob("*.pth")), default=0),
        "train_cpu_s": round(trained_s, 1),
        "cpu_s": round(time.process_time() - processed, 1),
        "wall_s": round(time.perf_counter() - wall, 1),
        "threads": torch.get_num_threads(),
        "processor": processor(False),
    }
    shutil.rmtree(folder, ignore_errors=True)
    return record


def packed(values: np.ndarray) -> str:
    """APs in [0, 1] as base64 of two bytes each."""
    return base64.b64encode(np.round(np.clip(values, 0, 1) * _STEPS).astype("<u2").tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """What :func:`packed` wrote, to 1 / 65535."""
    return np.frombuffer(base64.b64decode(text), "<u2") / _STEPS


def detections_of(runner) -> Detections:
    """What a trained runner's model finds in the test images, at its config's thresholds."""
    loader = runner.build_dataloader(runner.cfg.test_dataloader)
    runner.model.eval()
    images = []
    with torch.no_grad():
        for batch in loader:
            for sample in runner.model.test_step(batch):
                one = sample.pred_instances
                images.append(
                    dict(
                        img_id=sample.img_id,
                        boxes_xyxy=one.bboxes.double().cpu().numpy(),
                        scores=one.scores.double().cpu().numpy(),
                        labels=one.labels.cpu().numpy(),
                        masks=None,
                        mask_scores=None,
                    )
                )
    ids = loader.dataset.cat_ids
    return Detections.from_images(images, ids)


def _content(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _last(scalars: dict, name: str) -> float:
    """The last value that a training logged.

    Raises:
        InputError: it logged none, or one that is not finite.
    """
    found = float(scalars[name].data[0][-1]) if name in scalars else None
    if found is None or not math.isfinite(found):
        raise InputError(
            f"expected the training to log a finite {name}, got {'none' if found is None else found}. The run is not "
            "recorded; its log is below --work-dir, in logs/. Train it again once what it says is mended."
        )
    return found


def _quiet(line: str) -> None:
    """Takes a line and leaves it."""


@contextmanager
def quiet(log: Path):
    """What is printed goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        yield
