"""How an evaluation is shown and kept: rounded lines for people, one JSON with all digits in the run's folder."""

import logging
from pathlib import Path

from mmengine.logging import MessageHub, MMLogger

from ..weights.atomic_write import write_json
from .accumulated import MISSING
from .evaluate import Evaluation


def number_lines(evaluation: Evaluation) -> list[str]:
    """One line per kind, rounded to three decimals; an empty group is a dash."""
    return [
        f"{iou_type}: "
        + "  ".join(f"{name} {shown(value)}" for name, value in numbers.items())
        + f"   ({evaluation.num_detections[iou_type]} detections in {evaluation.num_images} images,"
        f" {evaluation.engine})"
        for iou_type, numbers in evaluation.numbers.items()
    ]


def class_table(rows: list[dict]) -> str:
    """The class-wise table as text: names left, numbers right."""
    columns = [name for name in rows[0] if name not in ("name", "id")] if rows else []
    width = max([len("class")] + [len(row["name"]) for row in rows])
    lines = ["class".ljust(width) + "".join(column.rjust(max(7, len(column) + 2)) for column in columns)]
    for row in rows:
        cells = [row[column] if isinstance(row[column], str) else shown(row[column]) for column in columns]
        lines.append(
            row["name"].ljust(width)
            + "".join(cell.rjust(max(7, len(column) + 2)) for cell, column in zip(cells, columns))
        )
    return "\n".join(lines)


def shown(value: float) -> str:
    """``0.412``, or a dash where the ground truth holds no object of the group."""
    return "-" if value == MISSING else f"{value:.3f}"


def write_to_run_folder(evaluation: Evaluation, prefix: str, ann_file, num_images_without: int) -> Path | None:
    """Write ``<run folder>/evaluation/{prefix}_{stage}_iter_{n}.json``; None outside a run.

    The run folder is where mmengine's logger writes its file (``<work_dir>/<timestamp>``).
    """
    folder = _run_folder()
    if folder is None:
        return None
    hub = MessageHub.get_current_instance()
    stage = hub.get_info("loop_stage") or "val"
    done = {name: None if hub.get_info(name) is None else int(hub.get_info(name)) + 1 for name in ("epoch", "iter")}
    record = {
        "prefix": prefix,
        "stage": stage,
        **done,
        "ann_file": ann_file and str(ann_file),
        "num_images_without_detections": num_images_without,
        **evaluation.to_json(),
    }
    step = f"_iter_{done['iter']}" if done["iter"] is not None and stage == "val" else ""
    path = folder / "evaluation" / f"{prefix}_{stage}{step}.json"
    write_json(path, record)
    return path


def _run_folder() -> Path | None:
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            return Path(handler.baseFilename).parent
    return None
