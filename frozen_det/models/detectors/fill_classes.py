"""How many classes a detector has, from the user or the annotations, into every part that classifies.

A part is asked by its constructor: `num_classes`, or `num_things_classes` and `num_stuff_classes`. Proposal heads know
one class, an object (their default is 1), and semantic heads have the classes of another map; both are left alone.
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
        things: that have instances; None if unknown.
        stuff: of panoptic heads, without instances; None if unknown.
    """

    things: int | None = None
    stuff: int | None = None


def count_classes(num_classes: int | None, num_stuff_classes: int | None, classes_from) -> Classes:
    """The numbers of classes as given, or those of an annotation file.

    Args:
        num_classes, num_stuff_classes: as given in the config.
        classes_from: COCO json, instances or panoptic (categories with `isthing`), or a folder with the user's data.

    Raises:
        InputError: both ways at once; no such file, or no categories in it.
    """
    if classes_from is None:
        return Classes(num_classes, num_stuff_classes)
    if num_classes is not None or num_stuff_classes is not None:
        raise InputError(
            "expected one of model.num_classes and model.classes_from, got both. Keep classes_from: the "
            "annotation file knows."
        )
    path = Path(classes_from)
    if path.is_dir() or (path.suffix != ".json" and not is_described()):
        from ...datasets.readers.folder_layout import resolve_user_data

        path = Path(resolve_user_data(path)["train"][0])
    if not path.is_file() and is_described():
        return Classes()  # the heads' own defaults: a description needs no data
    if not path.is_file():
        raise InputError(f"expected an annotation file in model.classes_from, but {path} does not exist.")
    from ...datasets.readers.annotation_check import read_classes

    names = read_classes(path)  # checked; a root that only groups the others is no class
    categories = json.loads(path.read_text(encoding="utf-8-sig"))["categories"]
    if not any("isthing" in category for category in categories):
        return Classes(len(names))
    things = sum(bool(category.get("isthing", 1)) for category in categories)
    return Classes(things, len(categories) - things)


def fill_classes(cfg: dict, classes: Classes) -> None:
    """Set the numbers of classes in every part of a detector's config that classifies; `cfg` is changed."""
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
    """Weights that are equal for all classes but the last, no object, are written out for each class in stock heads."""
    for key, loss in head.items():
        weights = loss.get("class_weight") if isinstance(loss, dict) else None
        if isinstance(weights, (list, tuple)) and len(weights) - 1 == before and len(set(weights[:-1])) == 1:
            head[key] = dict(loss, class_weight=[weights[0]] * count + [weights[-1]])
