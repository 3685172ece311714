"""The loop's stages about pseudo-labels: hash held-out images to prevent leakage, label the pool, filter and balance.

Refuses a teacher whose classes are not those of the labelled images.
"""

import dataclasses
import json
from pathlib import Path

from mmengine.dist import all_gather_object

from ...engine.runner.processes import by_first
from ...registry import TRANSFORMS
from ...weights.atomic_write import replacing, write_json
from ...weights.class_names import refuse_other_order
from ...weights.feature_store import FeatureStore
from .agreement import agreement
from .label_files import LABELS, VECTORS
from .labelling import label_pool, load_teacher
from .listings.listing import Listing
from .pool import open_pool, pool_hashes
from .selection import select
from .shard_files import SHARDS, write_shards

# What changes speed, not labels.
_SPEED = ("batch_size", "num_workers")


def guard_stage(loop, sources: list[dict]) -> Path:
    """Content hashes of the images that must not be in the pool, one a line.

    Args:
        loop: the running loop: gives `stage` and `work_dir`.
        sources: see :func:`~.pool.open_pool`.
    """
    out = loop.work_dir / "guards.txt"
    with loop.stage("guards", dict(sources=sources, data=data_digest(sources)), alone=True) as stage:
        if stage.todo:
            hashes = sorted(pool_hashes(open_pool(sources)))
            with replacing(out) as partial:
                partial.write_text("\n".join(hashes) + "\n", encoding="utf-8")
            loop.log(f"[guards] {len(hashes)} different images of training, validation and test sets")
        stage.outputs = [out]
    return out


def data_digest(sources: list[dict]) -> str:
    """Names, sizes and times of change of data files, looked up by the first of several processes."""
    return by_first(lambda: open_pool(sources).digest())


def teacher_of(cfg, checkpoint, noise: bool, store: FeatureStore | None = None, device=None):
    """A classifier as it labels, and the transform of one PIL image that it sees.

    Args:
        cfg: loaded config.
        checkpoint, store, device: see :func:`~.labelling.load_teacher`; with `noise` the store is not read.
        noise: the transform is its training's.
    """
    model, transform = load_teacher(cfg, checkpoint, device, None if noise else store)
    return model, one_by_one(TRANSFORMS.build(_training(cfg)) if noise else transform)


def label_stage(loop, name: str, folder: Path, teacher, pool: Listing, settings: dict, classes=None) -> Path:
    """Label the pool; whole parts of an interrupted labelling stay.

    Args:
        loop: the running loop.
        name: of the stage.
        folder: of the parts.
        teacher: its `cfg` and `checkpoint`; its averaged weights, eval mode and own evaluation transform are taken.
            With ``noise`` in `settings` it labels as it trained: its training's transform, dropout, stochastic depth.
        pool: the images, as they are listed.
        settings: arguments of :func:`~.labelling.label_pool`.
        classes: names of the labelled images' classes; a teacher that states others is refused.

    Returns:
        `folder`.
    """
    seen = _training(teacher.cfg) if settings.get("noise") else _evaluation(teacher.cfg)
    made_by = dict(
        model=teacher.cfg.model.to_dict(),
        pool=pool.digest(),
        transform=seen,
        **{key: value for key, value in settings.items() if key not in _SPEED},
    )
    with loop.stage(name, made_by, [teacher.checkpoint] if teacher.checkpoint else []) as stage:
        if stage.todo:
            model, transform = teacher_of(teacher.cfg, teacher.checkpoint, bool(settings.get("noise")), loop.store)
            refuse_other_order(
                model.stated_classes, classes, f"the teacher {teacher.checkpoint}", "the labelled images", optional=True
            )
            done = all_gather_object(label_pool(model, pool, folder, transform=transform, **settings))
            parts, skipped, images, broken = map(sum, zip(*map(dataclasses.astuple, done)))
            loop.log(
                f"[{name}] {images} images in {parts - skipped} parts, {broken} of them not readable; "
                f"{skipped} parts were there"
            )
        made = sorted(path for path in Path(folder).iterdir() if path.is_file() and not path.name.startswith("."))
        # Rows of 300 million images are 12 GB and soft vectors 600: read when they are needed, not at every start.
        kinds = (f"*{VECTORS}", "part-*.parquet") if _stated_digest(folder) else (f"*{VECTORS}",)
        stage.large = [path for path in made if any(path.match(kind) for kind in kinds)]
        stage.outputs = [path for path in made if path not in set(stage.large)]
    return Path(folder)


def _stated_digest(labels) -> str | None:
    """Digest of all rows of finished labels; None if one of their parts was made without it."""
    return json.loads(Path(labels, LABELS).read_text(encoding="utf-8")).get("digest")


def select_stage(loop, name: str, labels: Path, folder: Path, settings: dict, guards: list[dict], classes) -> dict:
    """Filter and balance.

    Args:
        loop: the running loop.
        name: of the stage.
        labels: folder of finished labels.
        folder: where the manifest goes.
        settings: `min_confidence`, `per_class`, `seed` of :func:`~.selection.select`.
        guards: sources of images that are left out.
        classes: names of the classes.

    Returns:
        `manifest`: path; `summary`: path of the json file beside it; `dataset`: config of the data set.
    """
    hashes = guard_stage(loop, guards) if guards else None
    out = Path(folder) / "manifest.parquet"
    # labels.json holds the digest of the rows, so they need not be read to know that they are the same.
    parts = () if _stated_digest(labels) else sorted(labels.glob("part-*.parquet"))
    inputs = [path for path in (labels / LABELS, *parts, hashes) if path]
    with loop.stage(name, dict(settings, classes=list(classes)), inputs, alone=True) as stage:
        if stage.todo:
            excluded = hashes.read_text(encoding="utf-8").split() if hashes else []
            found = select(
                labels,
                out,
                num_classes=len(classes),
                exclude_hashes=excluded,
                class_names=classes,
                log=lambda line: loop.log(f"[{name}] {line}"),
                **settings,
            )
            loop.log(f"[{name}] {found.num_rows} images kept, {found.num_copies} with copies")
        stage.outputs = [out, out.with_suffix(".json")]
    return dict(
        manifest=out,
        summary=out.with_suffix(".json"),
        dataset=dict(type="frozen_det.PseudoLabelled", manifest=str(out)),
    )


def shard_stage(loop, name: str, found: dict, folder: Path, settings: dict) -> dict:
    """Write what was selected as shards, which the student reads in sequence.

    Args:
        loop: the running loop.
        name: of the stage.
        found: of :func:`select_stage`.
        folder: of the shards; whole ones of an interrupted stage stay.
        settings: arguments of :func:`~.shard_files.write_shards`, and ``window`` of the data set.

    Returns:
        `found`, with the data set of the shards and, as ``shards``, the file that describes them.
    """
    out, written = folder / SHARDS, {key: value for key, value in settings.items() if key != "window"}
    with loop.stage(name, written, [found["manifest"]]) as stage:
        if stage.todo:
            number, there = write_shards(found["manifest"], folder, **written)
            loop.log(f"[{name}] {number} shards, {there} of them were there")
        stage.outputs, stage.large = [out], sorted(folder.glob("shard-*"))
    window = {"window": settings["window"]} if "window" in settings else {}
    dataset = dict(type="frozen_det.PseudoLabelled", manifest=str(out), **window)
    return dict(found, shards=out, dataset=dataset)


def agreement_stage(loop, name: str, labels: Path, student) -> dict:
    """Student and teacher on the same pool images; see :func:`~.agreement.agreement`.

    Args:
        loop: the running loop.
        name: of the stage.
        labels: the teacher's, the folder of the parts.
        student: its `cfg` and `checkpoint`.
    """
    out = labels.parent / "agreement.json"
    with loop.stage(
        name, dict(transform=_evaluation(student.cfg)), [labels / "labels.json", student.checkpoint], alone=True
    ) as stage:
        if stage.todo:
            model, transform = load_teacher(student.cfg, student.checkpoint, store=loop.store)
            found = agreement(model, one_by_one(transform), labels)
            write_json(out, found)
        stage.outputs = [out]
    return json.loads(out.read_text(encoding="utf-8"))


def one_by_one(transform):
    """A transform of PIL images; one of batches, which images in memory have, is wrapped."""
    return _AsItIs(transform) if hasattr(transform, "apply_batch") else transform


class _AsItIs:
    """A batch transform on one PIL image; what it draws is numpy's."""

    def __init__(self, transform) -> None:
        self.name, self._transform = type(transform).__name__, transform

    def __call__(self, image):
        import numpy as np
        import torch

        pixels = np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))[None]
        words = np.random.randint(0, 2**64, size=(1, self._transform.words_per_image), dtype=np.uint64)
        return torch.from_numpy(self._transform.apply_batch(pixels, words)[0])


def _training(cfg):
    """The transform that the labelled images are trained with."""
    dataset = cfg.train_dataloader.dataset
    given = (dataset.labelled if "labelled" in dataset else dataset).transform
    return given.to_dict() if hasattr(given, "to_dict") else given


def _evaluation(cfg):
    given = cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}
    transform = given.get("dataset", {}).get("transform")
    return transform.to_dict() if hasattr(transform, "to_dict") else transform
