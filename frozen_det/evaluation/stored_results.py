"""Detections on disk that can be evaluated again without the model: COCO result lists plus what they refer to.

``PREFIX.bbox.json`` and ``PREFIX.segm.json`` are plain COCO result lists, readable by every COCO tool;
``PREFIX.gt.json`` is written only where the ground truth came from the data set instead of a file;
``PREFIX.evaluation.json`` says how they were evaluated and holds the numbers with all their digits.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, closest
from ..weights.atomic_write import write_text
from .detections import Detections
from .engines import open_engine
from .evaluate import SETTINGS, Evaluation, checked_settings, evaluate_detections

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
        InputError: nothing is stored under ``prefix``, the annotation file is gone, or an argument is of another kind.
    """
    if not isinstance(engine, str):
        raise InputError(f"expected the name of an engine, or 'auto', got {engine!r:.60} (engine=...)")
    if ann_file is not None and (not isinstance(ann_file, str | os.PathLike) or not str(ann_file)):
        raise InputError(
            f"expected the path of an annotation json, got {ann_file!r:.60} (ann_file=...); None takes the one that "
            "was used"
        )
    for name in changes:
        if name not in SETTINGS:
            raise InputError(
                f"expected settings among {', '.join(SETTINGS)}, got {name!r} (evaluate_stored); "
                f"{closest(name, SETTINGS)}".rstrip("; ")
            )
    record = read_record(prefix)
    settings = checked_settings(record["settings"] | changes, " (evaluate_stored: {}=...)")
    truth = ann_file or record["ann_file"] or _path(prefix, "gt")
    if not os.path.exists(truth):
        raise InputError(
            f"expected the annotation file of these detections, got none at {truth} "
            f"({_path(prefix, 'evaluation')}); give ann_file=..."
        )
    opened = open_engine(str(truth), federated=settings["federated"], name=engine)
    stored, notes = {}, []
    for iou_type in settings["iou_types"]:
        found = read_results(_path(prefix, "segm" if iou_type == "segm" else "bbox"), iou_type)
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
        settings: keyword arguments of evaluate_detections; those that are not given are stored with their defaults.
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
        "settings": SETTINGS | settings,
        "evaluation": evaluation and evaluation.to_json(),
    }
    written.append(_write(_path(prefix, "evaluation"), record))
    return written


def read_record(prefix) -> dict:
    """What ``PREFIX.evaluation.json`` holds: format, ann_file, settings, evaluation.

    Raises:
        InputError: there is none, or its annotation file or a setting is of another kind.
    """
    if not isinstance(prefix, str | os.PathLike):
        raise InputError(f"expected the prefix of stored detections as a path, got {prefix!r:.60} (prefix)")
    path = _path(prefix, "evaluation")
    if not os.path.exists(path):
        raise InputError(
            f"expected stored detections, got no {path}; store them with outfile_prefix={str(prefix)!r} in the metric"
        )
    record = _read_json(path, f"a record {FORMAT!r}")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else record
        raise InputError(f"expected {FORMAT!r}, got {got!r:.60} in {path} (format); name what a metric stored")
    _check_record(record, path)
    return record


def _check_record(record: dict, path: Path) -> None:
    again = "store the detections again"
    ann_file, settings = record.get("ann_file", 0), record.get("settings")
    if ann_file is not None and (not isinstance(ann_file, str) or not ann_file):
        got = "none" if "ann_file" not in record else f"{ann_file!r:.60}"
        raise InputError(
            f"expected the path of the annotation file, or null where it is stored beside, got {got} in {path} "
            f"(ann_file); {again}, or correct it"
        )
    if not isinstance(settings, dict):
        got = "none" if "settings" not in record else f"{settings!r:.60}"
        raise InputError(f"expected the settings {', '.join(SETTINGS)}, got {got} in {path} (settings); {again}")
    for key in (*SETTINGS, *settings):
        if key not in settings or key not in SETTINGS:
            got = f"no {key}" if key not in settings else f"{key!r:.40}"
            raise InputError(
                f"expected the settings {', '.join(SETTINGS)}, got {got} in {path} (settings.{key:.40}); {again}"
            )
    checked_settings(settings, f" in {str(path).replace('{', '{{').replace('}', '}}')} (settings.{{}}); {again}")


def read_results(path, iou_type: str = "bbox") -> Detections:
    """Read one COCO result list.

    Args:
        path: of the json.
        iou_type: what it is read for: 'segm' needs masks, others boxes.

    Raises:
        InputError: there is none, or an entry of it is no result, or lacks what is needed.
    """
    results = _read_json(Path(path), "a COCO result list")
    if not isinstance(results, list):
        raise InputError(
            f"expected a list of COCO results, got a {type(results).__name__} in {path}; name a result "
            "file, not an annotation file"
        )
    return Detections.from_coco_results(results, str(path), iou_type)


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
