"""Set the number of classes, given or counted in the annotations, in every part of a detector that classifies.

Parts are recognised by constructor arguments: `num_classes`, or `num_things_classes` and `num_stuff_classes`. Proposal
heads (class-agnostic, default 1) and semantic heads (classes of another map) are not changed.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..backbones.description import is_described
from .typed_parts import has_default, takes, walk


@dataclass(frozen=True)
class Classes:
    """Numbers of classes.

    Attributes:
        things: classes with instances; None if unknown.
        stuff: classes without instances, of panoptic heads; None if unknown.
    """

    things: int | None = None
    stuff: int | None = None


def count_classes(num_classes: int | None, num_stuff_classes: int | None, classes_from) -> Classes:
    """The numbers of classes as given, or as counted in an annotation file.

    Args:
        num_classes, num_stuff_classes: as given in the config.
        classes_from: COCO json, instances or panoptic (categories with `isthing`), or a folder with the user's data.

    Raises:
        InputError: both are given; the file does not exist or has no categories.
    """
    if classes_from is None:
        return Classes(num_classes, num_stuff_classes)
    if num_classes is not None or num_stuff_classes is not None:
        raise InputError(
            "expected one of model.num_classes and model.classes_from, got both. Keep classes_from, which "
            "counts the classes in the annotation file."
        )
    path = Path(classes_from)
    if path.is_dir() or (path.suffix != ".json" and not is_described()):
        from ...datasets.readers.folder_layout import resolve_user_data

        path = Path(resolve_user_data(path)["train"][0])
    if not path.is_file() and is_described():
        return Classes()  # a description needs no data: keep the heads' defaults
    if not path.is_file():
        raise InputError(f"expected an annotation file in model.classes_from, but {path} does not exist.")
    from ...datasets.readers.annotation_check import read_classes

    names = read_classes(path)  # validated; a root category that only groups the others is not a class
    categories = json.loads(path.read_text(encoding="utf-8-sig"))["categories"]
    if not any("isthing" in category for category in categories):
        return Classes(len(names))
    things = sum(bool(category.get("isthing", 1)) for category in categories)
    return Classes(things, len(categories) - things)


def fill_classes(cfg: dict, classes: Classes) -> None:
    """Set the numbers of classes in every part of a detector's config that classifies; `cfg` is modified."""
    if classes == Classes():
        return
    for part, kind, where, _ in walk(cfg, "model.detector"):
        keys = where.split(".")
        if takes(kind, "num_things_classes"):
            _fill_panoptic(part, classes)
        elif (
            classes.things is None
            or not takes(kind, "num_classes")
            or "rpn_head" in keys
            or "semantic_head" in keys
            or has_default(kind, "num_classes", 1)
        ):
            continue
        elif "num_classes" in part or not has_default(kind, "num_classes", -1):  # -1: a loss that does not need it
            _resize_weights(part, part.get("num_classes"), classes.things)
            part["num_classes"] = classes.things


def _fill_panoptic(part: dict, classes: Classes) -> None:
    before = [part.get(key) for key in ("num_things_classes", "num_stuff_classes")]
    for key, count in (("num_things_classes", classes.things), ("num_stuff_classes", classes.stuff)):
        if count is not None:
            part[key] = count
    if None not in before:
        _resize_weights(part, sum(before), part["num_things_classes"] + part["num_stuff_classes"])


def _resize_weights(head: dict, before: int | None, count: int) -> None:
    """Resize `class_weight` lists that hold one equal weight per class and a last one for "no object"."""
    for key, loss in head.items():
        weights = loss.get("class_weight") if isinstance(loss, dict) else None
        if isinstance(weights, (list, tuple)) and len(weights) - 1 == before and len(set(weights[:-1])) == 1:
            head[key] = dict(loss, class_weight=[weights[0]] * count + [weights[-1]])
