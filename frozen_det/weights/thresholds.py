"""The score thresholds that travel in a checkpoint: measured on the validation of these very weights, by F1."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

KEY = "thresholds"  # in a checkpoint's meta
# Numbers beside the thresholds of the classes.
_FACTS = ("f1", "precision", "recall", "num_objects", "num_images")


@dataclass(frozen=True)
class Thresholds:
    """From which score on detections are worth keeping.

    Attributes:
        overall: for all classes: the threshold with the best F1 over all objects, at IoU 0.5.
        by_class: class name -> the threshold with the best F1 of its own; classes of which nothing right was found, or
            that the validation had no object of, are absent.
        f1, precision, recall: at `overall`, in [0, 1].
        num_objects, num_images: of the validation.
    """

    overall: float
    by_class: Mapping[str, float]
    f1: float
    precision: float
    recall: float
    num_objects: int
    num_images: int

    def to_meta(self, classes: Sequence[str]) -> dict[str, Any]:
        """Plain values for a checkpoint's meta, those of the classes by label: names may be written anew."""
        by_label = [self.by_class.get(name) for name in classes]
        return {"overall": self.overall, "by_label": by_label, **{name: getattr(self, name) for name in _FACTS}}

    @classmethod
    def in_meta(cls, checkpoint: Mapping, classes: Sequence[str], where: str) -> "Thresholds | None":
        """What a checkpoint holds; None for one that was not measured.

        Args:
            checkpoint: what :func:`frozen_det.weights.loading.read` gave.
            classes: names by label.
            where: the file, for messages.

        Raises:
            InputError: something stands there that no training wrote.
        """
        meta = checkpoint.get("meta")
        found = meta.get(KEY) if isinstance(meta, Mapping) else None
        if found is None:
            return None
        fault = _fault(found, len(classes))
        if fault:
            raise InputError(
                f"expected the score thresholds of {len(classes)} classes in the meta of {where} ({KEY}), as training "
                f"writes them, got {fault}: the file was changed. Use it as it was written."
            )
        by_class = {name: float(one) for name, one in zip(classes, found["by_label"]) if one is not None}
        return cls(float(found["overall"]), by_class, **{name: found[name] for name in _FACTS})

    def __str__(self):
        return f"{self.overall:g} (best F1 {self.f1:.2f} over {self.num_objects:,} objects of the validation)"


def _fault(found, num_classes: int) -> str | None:
    """What keeps an entry from being thresholds, as text."""
    if not isinstance(found, Mapping) or not {"overall", "by_label", *_FACTS} <= set(found):
        return f"{str(found)[:80]}"
    if not isinstance(found["by_label"], list | tuple) or len(found["by_label"]) != num_classes:
        return f"{str(found['by_label'])[:80]} (by_label)"
    numbers = [found["overall"], *(found[name] for name in _FACTS), *(x for x in found["by_label"] if x is not None)]
    strange = [x for x in numbers if type(x) not in (int, float) or not math.isfinite(x)]
    return f"{strange[0]!r:.40} as a number" if strange else None
