"""The newest validation of a run, kept for its checkpoints: score thresholds into those of the same weights, detections
beside them.

A threshold is written into a checkpoint only where the validation saw the weights in it: into the best one as it is
saved, into the last one when training ends, if the validation came after its last step. What the validation saw goes to
``<work_dir>/detections/best.npz`` and ``last.npz``; reports are made of it, without a second pass.
"""

import io
from pathlib import Path

import torch

from ...evaluation.coco_metric import CocoMetric
from ...evaluation.diagnosis import Diagnosis
from ...evaluation.evaluated_pass import FOLDER, EvaluatedPass
from ...weights.atomic_files import write_atomically
from ...weights.loading import read
from ...weights.thresholds import KEY, Thresholds


class MeasuredThresholds:
    """Knows what the newest validation measured, and on which step's weights."""

    def __init__(self) -> None:
        self._iter: int | None = None
        self._found: EvaluatedPass | None = None
        self._meta: dict | None = None

    def validated(self, runner) -> None:
        """A validation ended; what it saw counts until the weights move."""
        self._iter, self._found, self._meta = runner.iter, None, None
        metrics = getattr(runner.val_evaluator, "metrics", ())
        found = next((one.last for one in metrics if isinstance(one, CocoMetric) and one.last is not None), None)
        if found is not None and runner.rank == 0:
            self._found = found

    def trained(self) -> None:
        """The weights are about to move."""
        self._iter = self._found = self._meta = None

    def meta(self) -> dict | None:
        """For the meta of a checkpoint of the weights of now; None where they were not measured."""
        if self._found is None:
            return None
        if self._meta is None:
            found = thresholds_of(self._found)
            self._meta = {} if found is None else found.to_meta(self._names())
        return self._meta or None

    def keep(self, runner, name: str, checkpoint: str | None) -> None:
        """Write what the validation saw to the work directory, with the name of the checkpoint it belongs to."""
        if self._found is not None:
            facts = dict(stage="val", iter=runner.iter, epoch=runner.epoch, checkpoint=checkpoint)
            self._found.write(Path(runner.work_dir, FOLDER, name), **facts)

    def into_file(self, path: str | Path | None) -> None:
        """Write the thresholds into a checkpoint that was saved before its weights were validated.

        The file is replaced whole; its tensors are the same.
        """
        meta = self.meta()
        if meta is None or path is None or not Path(path).is_file():
            return
        checkpoint = read(path)
        if checkpoint["meta"].get("iter") != self._iter or KEY in checkpoint["meta"]:
            return
        checkpoint["meta"][KEY] = meta
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())

    def _names(self) -> list[str]:
        """By label, in the truth's words; a class that it does not list has no name."""
        assert self._found is not None
        return ["" if one is None else self._found.name_of(one) for one in self._found.category_ids]


def thresholds_of(found: EvaluatedPass) -> Thresholds | None:
    """By F1, overall and for each class; None where there is no object, or nothing right was found."""
    try:
        diagnosis = Diagnosis(found)
    except ImportError:  # another engine evaluates where hotcoco is not installed
        return None
    best = diagnosis.curve and diagnosis.curve.best
    if best is None:
        return None
    points = {name: curve.best for name, curve in zip(diagnosis.names, diagnosis.curves) if curve is not None}
    return Thresholds(
        best.threshold,
        {name: point.threshold for name, point in points.items() if point is not None},
        best.f1,
        best.precision,
        best.recall,
        int(diagnosis.num_objects.sum()),
        len(found.image_ids),
    )
