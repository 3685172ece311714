"""Detections on disk that can be evaluated again without the model: COCO result lists plus what they refer to.

``PREFIX.bbox.json`` and ``PREFIX.segm.json`` are plain COCO result lists, readable by every COCO tool;
``PREFIX.gt.json`` is written only where the ground truth came from the data set instead of a file;
``PREFIX.evaluation.json`` says how they were evaluated and holds the numbers with all their digits.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..weights.atomic_write import write_text
from .detections import Detections
from .engines import open_engine
from .evaluate import Evaluation, evaluate_detections

FORMAT = "frozen_det evaluation 1"


def evaluate_stored(
    prefix: str | Path, ann_file: str | Path | None = None, engine: str = "auto", **changes: Any
) -> Evaluation:
    """Evaluate stored detections again, as they were evaluated or with other settings.

    Args:
        prefix: the ``outfile_prefix`` of the metric that stored them.
        ann_file: annotation json; None for the one that was used (or stored).
        engine: 'auto', 'hotcoco', 'faster-coco-eval' or 'pycocotools'.
        **changes: any of evaluate_detections' ``iou_types``, ``image_ids``, ``category_ids``, ``iou_thresholds``,
            ``max_detections``, ``fixed_ap``; by default as stored.

    Returns:
        all numbers, ``numbers["bbox"]["mAP"]`` as a share of 1, with notes on what was dropped.

    Raises:
        InputError: nothing is stored under ``prefix``, or the annotation file is gone.
    """
    record = read_record(prefix)
    settings = dict(record["settings"])
    unknown = [name for name in changes if name not in settings]
    if unknown:
        raise InputError(f"expected settings among {sorted(settings)}, got {unknown[0]!r} (evaluate_stored)")
    settings.update(changes)
    truth = ann_file or record["ann_file"] or _path(prefix, "gt")
    if not Path(truth).exists():
        raise InputError(
            f"expected the annotation file of these detections, got none at {truth} "
            f"({_path(prefix, 'evaluation')}); give ann_file=..."
        )
    opened = open_engine(str(truth), federated=settings["federated"], name=engine)
    stored, notes = {}, []
    for iou_type in settings["iou_types"]:
        found = read_results(_path(prefix, "segm" if iou_type == "segm" else "bbox"))
        stored[iou_type] = found.finite()
        if len(stored[iou_type]) < len(found):
            notes.append(
                f"{len(found) - len(stored[iou_type])} of {len(found)} {iou_type} detections had a NaN or "
                "infinite box or score and were dropped"
            )
    evaluation = evaluate_detections(opened, stored, **settings)
    evaluation.notes[:0] = notes
    return evaluation


def write_stored(
    prefix,
    detections: Detections,
    settings: dict,
    ann_file: str | None,
    evaluation: Evaluation | None,
    ground_truth: dict | None = None,
) -> list[Path]:
    """Store detections and how to evaluate them. Returns the paths written.

    Args:
        prefix: path without suffix; its folder is made.
        settings: keyword arguments of evaluate_detections.
        ann_file: the annotation file, or None with ``ground_truth`` as a COCO dict.
        evaluation: the numbers, or None when nothing was evaluated.
    """
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    written = []
    for iou_type in ("bbox", "segm"):
        if iou_type == "bbox" or detections.masks is not None:
            written.append(_write(_path(prefix, iou_type), _as_text(detections.to_coco_results(iou_type))))
    if ground_truth is not None:
        written.append(_write(_path(prefix, "gt"), _as_text([ground_truth])[0]))
    record = {
        "format": FORMAT,
        "ann_file": ann_file and str(Path(ann_file).absolute()),
        "settings": settings,
        "evaluation": evaluation and evaluation.to_json(),
    }
    written.append(_write(_path(prefix, "evaluation"), record))
    return written


def read_record(prefix) -> dict:
    """What ``PREFIX.evaluation.json`` holds: format, ann_file, settings, evaluation."""
    path = _path(prefix, "evaluation")
    if not path.exists():
        raise InputError(
            f"expected stored detections, got no {path}; store them with outfile_prefix={str(prefix)!r} in the metric"
        )
    record = _read_json(path, f"a record {FORMAT!r}")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else record
        raise InputError(f"expected {FORMAT!r}, got {got!r:.60} in {path} (format)")
    return record


def read_results(path) -> Detections:
    """Read one COCO result list.

    Raises:
        InputError: there is none, or an entry of it is no result.
    """
    results = _read_json(Path(path), "a COCO result list")
    if not isinstance(results, list):
        raise InputError(
            f"expected a list of COCO results, got a {type(results).__name__} in {path}; name a result "
            "file, not an annotation file"
        )
    return Detections.from_coco_results(results, str(path))


def _read_json(path: Path, what: str):
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(
            f"expected {what}, got none that can be read ({error}) at {path}; store the detections again"
        ) from error


def _path(prefix, kind: str) -> Path:
    return Path(f"{prefix}.{kind}.json")


def _write(path: Path, content) -> Path:
    write_text(path, json.dumps(content, default=_plain))
    return path


def _as_text(records: list[dict]) -> list[dict]:
    """Run lengths as text: json has no bytes."""
    for record in records:
        for ann in record.get("annotations", [record]):
            mask = ann.get("segmentation")
            if isinstance(mask, dict) and isinstance(mask["counts"], bytes):
                ann["segmentation"] = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
    return records


def _plain(value):
    """numpy scalars and arrays -> plain numbers and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as json")
