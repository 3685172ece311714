"""A classifier trained on, all of it, on other images: fixed budget, seeded, resumable; the third way to transfer.

The same for every candidate: a new head, random resized crops and flips at the candidate's own test size, SGD with
momentum 0.9 and a cosine, learning rate 0.01 for batches of 64. The last epoch counts. Nothing is tuned per candidate,
so the numbers compare candidates and are not the best ones.
"""

import os
from collections.abc import Callable
from pathlib import Path

from ..engine.runner.stages import Stages, set_aside
from ..errors import InputError
from .candidates import Candidate, StudyClassifier, StudyImages

EPOCHS = 5
BATCH_SIZE = 64
LEARNING_RATE = 0.01
#: Smallest share of the image that a training crop takes.
CROP_SCALE = 0.35


def finetune(
    candidate: Candidate,
    images: StudyImages,
    records,
    work_dir,
    epochs: int = EPOCHS,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> StudyClassifier:
    """The candidate with a new head, trained on other images; a finished training is read back, a begun one goes on.

    Args:
        candidate: whose backbone and weights training starts from.
        images: its own test images, for their size.
        records: :class:`~frozen_det.upstream.image_records.ImageRecords` to train on.
        work_dir: of the training.
        epochs: over `records`.
        seed: of the head, the order and the crops.
        log: takes a line about the progress.

    Raises:
        InputError: less than one epoch.
    """
    from ..models.backbone_sources.weights import weights_file
    from ..upstream.fixres.resolution_sweep import load_model

    if epochs < 1:
        raise InputError(f"expected at least one epoch of fine-tuning, got {epochs} (--finetune-epochs).")
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    listing = work_dir / "train.txt"
    listing.write_text(
        "\n".join(
            f"{os.path.abspath(records.path(place))} {label}" for place, label in enumerate(records.labels.tolist())
        ),
        encoding="utf-8",
    )
    cfg = _config(candidate, images.size_hw[0], listing, records.classes, epochs, seed)
    file = weights_file(cfg.model.weights["path"])
    inputs = [listing] + ([file] if file is not None and file.is_file() else [])
    stages = Stages(work_dir, memory="finetune.json", log=log)
    with stages("fine-tuning", {**cfg.to_dict(), "classes": list(records.classes)}, inputs) as stage:
        if stage.todo:
            stage.outputs = [_train(cfg, work_dir / "run", stage.goes_on, log)]
    model = load_model(cfg, stage.outputs[0])
    pre = model.data_preprocessor
    return StudyClassifier(model.network, pre.mean.flatten().tolist(), pre.std.flatten().tolist())


def _config(candidate: Candidate, size: int, listing: Path, classes, epochs: int, seed: int):
    """The Runner's config of the training."""
    from mmengine.config import Config

    from ..upstream.pretrained import split_head

    given = candidate.cfg.model
    source = str(candidate.checkpoint) if candidate.checkpoint else split_head(given.weights)[0]
    weights = {**source, "head": "new"} if isinstance(source, dict) else {"path": source, "head": "new"}
    model = dict(
        type="frozen_det.ImageClassifier", backbone=given.backbone.to_dict(), num_classes=len(classes), weights=weights
    )
    if given.get("data_preprocessor"):
        model["data_preprocessor"] = given.data_preprocessor.to_dict()
    return Config(
        dict(
            default_scope="mmdet",
            model=model,
            log_level="WARNING",
            load_from=None,
            resume=False,
            train_dataloader=dict(
                batch_size=BATCH_SIZE,
                num_workers=0,
                drop_last=False,
                collate_fn=dict(type="frozen_det.collate_images"),
                sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
                dataset=dict(
                    type="frozen_det.ImageList",
                    ann_file=str(listing),
                    num_classes=len(classes),
                    transform=dict(type="frozen_det.TrainTransform", size=size, scale=(CROP_SCALE, 1.0)),
                ),
            ),
            optim_wrapper=dict(
                type="OptimWrapper", optimizer=dict(type="SGD", lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
            ),
            param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True, T_max=epochs, convert_to_iter_based=True)],
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=epochs),
            default_hooks=dict(
                checkpoint=dict(type="frozen_det.LeanCheckpointHook", interval=1, max_keep_ckpts=1),
                logger=dict(type="LoggerHook", interval=50),
            ),
            custom_hooks=[dict(type="frozen_det.StepSeedHook"), dict(type="frozen_det.NaNGuardHook")],
            randomness=dict(seed=seed),
            visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")], name="finetune"),
        ),
        filename=candidate.cfg.filename,
    )


def _train(cfg, work_dir: Path, goes_on: bool, log) -> Path:
    from ..engine.runs import train

    if not goes_on:
        set_aside([work_dir], work_dir.parent, log)
    run = cfg.copy()
    run.work_dir = str(work_dir)
    return train(run, f"finetune-{work_dir.parent.name}", goes_on, log)
