"""The validation that a run's report is made of: that of its best checkpoint, else of its last one."""

from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..evaluation.diagnosis import Diagnosis
from ..evaluation.evaluated_pass import BEST, FOLDER, LAST, EvaluatedPass, read_pass
from .run_record import RunRecord

OURS = ("CocoMetric", "LVISMetric")


def diagnosis_of(run: RunRecord) -> Diagnosis | None:
    """Of a run's validation; None where none was kept, or its annotations are gone (``run.missing`` then says so)."""
    path = pass_path(run.work_dir)
    if path is None:
        return None
    try:
        return _diagnosed(path, path.stat().st_mtime_ns)
    except (InputError, ImportError) as error:  # another engine may have evaluated where hotcoco is not installed
        note = f"what it gets wrong ({str(error)[:160]})"
        if note not in run.missing:
            run.missing.append(note)
        return None


def pass_path(work_dir: Path) -> Path | None:
    """The file of the best checkpoint's validation, else of the last one's; None where none was kept."""
    found = (Path(work_dir, FOLDER, name) for name in (BEST, LAST))
    return next((path for path in found if path.is_file()), None)


@lru_cache(maxsize=4)
def _diagnosed(path: Path, _changed: int) -> Diagnosis:
    return Diagnosis(read_pass(path))


def moment(found: EvaluatedPass) -> str:
    """'validation of best_coco_bbox_mAP_epoch_8.pth, 96 images'."""
    checkpoint, step = found.facts.get("checkpoint"), found.facts.get("epoch")
    if checkpoint:
        which = f"validation of {Path(checkpoint).name}"
    elif step:
        which = f"validation after epoch {step}"
    else:
        which = f"validation after iteration {found.facts.get('iter')}"
    return f"{which}, {len(found.image_ids):,} image{'s' * (len(found.image_ids) != 1)}"


def other_metric(run: RunRecord) -> str | None:
    """What a run was evaluated by where that keeps no boxes; None where it does, or where it is not known."""
    found = run.config.get("val_evaluator") if run.config is not None else None
    found = [found] if isinstance(found, dict) else found or []
    names = [str(one.get("type", "")).rpartition(".")[2] for one in found if isinstance(one, dict)]
    return names[0] if names and not set(names) & set(OURS) else None
