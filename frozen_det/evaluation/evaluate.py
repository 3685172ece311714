"""From detections to numbers: COCO's twelve, LVIS's thirteen, the class-wise table, and what needs to be known.

Every name gets a number: 0 where nothing was detected, -1 where the ground truth holds no object of
the group, and says which in ``Evaluation.notes``. It refuses detections in images and of categories that the ground
truth lacks, and masks of another size than their image.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from inspect import Parameter, signature
from typing import Any, NoReturn

import numpy as np

from ..errors import InputError, closest
from .accumulated import MISSING, coco_numbers, frequency_group, lvis_numbers, per_class_numbers, proposal_numbers
from .detections import Detections
from .engines import NO_LIMIT, Protocol

COCO_LIMITS = (1, 10, 100)
PROPOSAL_LIMITS = (100, 300, 1000)
LVIS_LIMIT = 300
NO_CATEGORY = None
IOU_TYPES = ("bbox", "segm", "proposal")
FIXED_AP_PER_CATEGORY = 10_000  # arXiv 2102.01066, section 4: detections per class over the whole data set


@dataclass
class Evaluation:
    """Numbers of one evaluation.

    Attributes:
        numbers: iou_type ('bbox', 'segm', 'proposal') -> name -> value in [0, 1], or -1 for an empty group.
        classes: iou_type -> one dict per category (name, id, AP, AP50, AP75, APs, APm, APl, AR, frequency).
        notes: what to know about these numbers, in sentences.
        engine: name and version of the evaluator that counted.
        num_images, num_detections: what was evaluated; detections per iou_type.
    """

    numbers: dict[str, dict[str, float]]
    classes: dict[str, list[dict]]
    engine: str
    num_images: int
    num_detections: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def flat(self) -> dict[str, float]:
        """``{'bbox_mAP': 0.41, ...}``; proposal numbers carry no prefix, as in mmdet."""
        return {
            name if iou_type == "proposal" else f"{iou_type}_{name}": value
            for iou_type, numbers in self.numbers.items()
            for name, value in numbers.items()
        }

    def to_json(self) -> dict:
        """Plain dict, floats with all their digits."""
        return asdict(self)


def evaluate_detections(
    engine,
    detections,
    *,
    federated: bool = False,
    iou_types=("bbox",),
    image_ids=None,
    category_ids=None,
    iou_thresholds=None,
    max_detections=None,
    fixed_ap: bool = False,
) -> Evaluation:
    """Evaluate one set of detections.

    Args:
        engine: the ground truth, from :func:`frozen_det.evaluation.engines.open_engine`.
        detections: :class:`Detections` for all iou types, or a dict iou_type -> Detections.
        federated: LVIS's rules and numbers (300 detections per image) instead of COCO's (1, 10, 100).
        iou_types: among 'bbox', 'segm', 'proposal' (boxes without categories; COCO only).
        image_ids, category_ids: restrict to these; None for all of the ground truth.
        iou_thresholds: None for 0.50:0.05:0.95.
        max_detections: iou_type -> limits per image, ascending; a type that is not named has the protocol's own.
        fixed_ap: LVIS only: also the numbers ``fixed_AP...``, with no limit per image and the best 10,000 of each
            category (arXiv 2102.01066).

    Raises:
        InputError: a setting of another kind, none of the images or categories, detections without what an iou type
            needs.
    """
    settings = checked_settings(
        dict(
            federated=federated,
            iou_types=iou_types,
            image_ids=image_ids,
            category_ids=category_ids,
            iou_thresholds=iou_thresholds,
            max_detections=max_detections,
            fixed_ap=fixed_ap,
        )
    )
    federated, iou_types, fixed_ap = (settings[key] for key in ("federated", "iou_types", "fixed_ap"))
    by_type = _by_type(detections, iou_types)
    truth = engine.truth
    if not truth.category_ids:
        raise InputError(
            f"expected at least one category in {truth.where} (categories), got none: nothing would be judged; add them"
        )
    image_ids, category_ids = settings["image_ids"], settings["category_ids"]
    images = np.unique(truth.image_numbers(truth.image_ids if image_ids is None else image_ids)).tolist()
    numbers = np.unique(truth.category_numbers(truth.category_ids if category_ids is None else category_ids)).tolist()
    categories = [truth.categories[number - 1] for number in numbers]
    result = Evaluation({}, {}, engine.label, len(images), notes=list(truth.notes))
    for iou_type in iou_types:
        limits = (settings["max_detections"] or {}).get(iou_type) or limits_of(iou_type, federated)
        protocol = Protocol(
            iou_type="segm" if iou_type == "segm" else "bbox",
            federated=federated,
            max_detections=tuple(sorted(set(limits))),
            images=tuple(images),
            categories=tuple(numbers),
            iou_thresholds=None if settings["iou_thresholds"] is None else tuple(settings["iou_thresholds"]),
            with_categories=iou_type != "proposal",
        )
        if iou_type == "segm":
            truth.must_have_masks(protocol.images, protocol.categories)
        of_type = truth.numbered(by_type[iou_type].for_iou_type(protocol.iou_type))
        loaded = engine.load(of_type, protocol.max_detections[-1] if federated else None)
        counts = _with_ids(engine.accumulate(loaded, protocol), truth)
        result.numbers[iou_type] = numbers_of(iou_type, counts, categories, federated)
        if iou_type != "proposal":
            result.classes[iou_type] = per_class_numbers(counts, categories)
        result.num_detections[iou_type] = engine.count(loaded)
        if fixed_ap:
            result.numbers[iou_type].update(_fixed_ap(engine, of_type, protocol, categories))
    result.notes += _notes(result)
    return result


#: The settings of :func:`evaluate_detections`, with their defaults.
SETTINGS = {
    name: one.default
    for name, one in signature(evaluate_detections).parameters.items()
    if one.kind is Parameter.KEYWORD_ONLY
}


def checked_settings(settings: Mapping[str, Any], where: str = " ({}=...)") -> dict[str, Any]:
    """Settings of :func:`evaluate_detections` as plain lists and numbers.

    Args:
        settings: all of :data:`SETTINGS`.
        where: with the key filled in, what follows the value in a message.

    Raises:
        InputError: one is of another kind, or names nothing to evaluate.
    """
    found = dict(settings)
    for key in ("federated", "fixed_ap"):
        if not isinstance(found[key], bool | int | np.bool_) or found[key] not in (0, 1):
            _refuse(key, "True or False", found[key], where)
        found[key] = bool(found[key])
    known = IOU_TYPES[:2] if found["federated"] else IOU_TYPES
    iou_types = _listed(found["iou_types"])
    if not iou_types or not all(isinstance(one, str) and one in known for one in iou_types):
        _refuse("iou_types", f"a list of {', '.join(known)}", found["iou_types"], where)
    found["iou_types"] = list(dict.fromkeys(iou_types))
    if found["fixed_ap"] and not found["federated"]:
        raise InputError(f"expected fixed_ap with LVIS's rules alone, got True with COCO's{where.format('fixed_ap')}")
    for key in ("image_ids", "category_ids"):
        ids = None if found[key] is None else _listed(found[key])
        if found[key] is not None and (not ids or not all(type(one) in (int, str) for one in ids)):
            what = "a list of ids of the annotation file, at least one, or None for all"
            _refuse(key, what, found[key], where)
        found[key] = ids
    if found["iou_thresholds"] is not None:
        found["iou_thresholds"] = check_iou_thresholds(found["iou_thresholds"], "iou_thresholds", where)
    limits = found["max_detections"]
    if limits is not None:
        if not isinstance(limits, Mapping) or not all(one in IOU_TYPES for one in limits):
            what = f"limits per image by {', '.join(IOU_TYPES)}, as {{'bbox': [1, 10, 100]}}"
            _refuse("max_detections", what, limits, where)
        found["max_detections"] = {
            one: check_limits(values, f"max_detections[{one!r}]", where) for one, values in limits.items()
        }
    return found


def check_iou_thresholds(values, key: str, where: str = "") -> list[float]:
    """IoU thresholds as a list; refuses those that are no numbers in (0, 1], or none at all."""
    listed = _listed(values)
    if not listed or not all(type(one) in (int, float) and 0 < one <= 1 for one in listed):
        _refuse(key, "numbers above 0 and up to 1", values if listed is None else listed, where)
    return listed


def check_limits(values, key: str, where: str = "") -> list[int]:
    """Detection limits as a list; refuses those that are no whole numbers from 1 on."""
    listed = _listed(values)
    if not listed or not all(type(one) is int and 0 < one <= NO_LIMIT for one in listed):
        what = f"whole numbers from 1 on, up to {NO_LIMIT}, which no image reaches"
        _refuse(key, what, values if listed is None else listed, where)
    return listed


def _listed(values) -> list | None:
    """The members of a list, array, set or iterator, as Python has them; None of anything else."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        return None
    if isinstance(values, np.ndarray) and values.ndim != 1:
        return None
    return [one.item() if isinstance(one, np.generic) else one for one in values]


def _refuse(key: str, wanted: str, got, where: str) -> NoReturn:
    raise InputError(f"expected {key} as {wanted}, got {got!r:.80}{where.format(key)}")


def _by_type(detections, iou_types: list[str]) -> dict[str, Detections]:
    """The detections of each kind, with what the kind needs."""
    by_type = dict(detections) if isinstance(detections, Mapping) else dict.fromkeys(iou_types, detections)
    for iou_type in iou_types:
        found = by_type.get(iou_type)
        if not isinstance(found, Detections):
            got = f"a {type(found).__name__}" if iou_type in by_type else f"only those of {list(by_type)}"
            raise InputError(
                f"expected Detections of {iou_type!r}, got {got} (detections); Detections.from_coco_results makes them "
                "of a COCO result list"
            )
        if iou_type == "segm" and found.masks is None:
            if len(found):
                raise InputError(
                    f"expected detections with masks, because 'segm' is evaluated, got {len(found)} boxes alone "
                    "(detections); evaluate 'bbox'"
                )
            by_type[iou_type] = replace(found, masks=[])
    return by_type


def _with_ids(counts, truth):
    """The counts with the file's category ids in place of numbers."""
    return replace(
        counts,
        category_ids=tuple(
            truth.categories[number - 1]["id"] if number > 0 else number for number in counts.category_ids
        ),
    )


def check_class_list(classes, needed: bool) -> None:
    """Refuse a data set's ``classes`` that do not name each label once.

    Args:
        classes: of its metainfo; None where it states none.
        needed: whether its ground truth is named by them alone.
    """
    if classes is None and not needed:
        return
    is_list = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    if not is_list or not classes or len(set(classes)) < len(classes):
        raise InputError(
            f"expected the classes of the data set as a list of distinct names, got {classes!r:.80} "
            "(metainfo.classes): label i is the i-th of them"
        )


def category_ids_of_labels(
    classes, categories: list[dict], where: str, label_order: str = "classes"
) -> list[int | None]:
    """Category id of each label; ``NO_CATEGORY`` for a class that the ground truth does not list.

    Args:
        classes: class names of the data set.
        categories: of the ground truth, in the order of the json.
        where: the file, for messages.
        label_order: 'classes': label i is ``classes[i]`` (frozen_det's data sets); 'file': label i is the i-th
            category of the json among ``classes`` (mmdet's CocoDataset, whatever the order of ``classes``).

    Raises:
        InputError: none of the classes is listed, or two categories share a name.
    """
    id_of = {category["name"]: category["id"] for category in categories}
    if classes and not set(classes) & set(id_of):
        raise InputError(
            f"expected at least one of the data set's classes among the categories of {where}, got "
            f"{list(classes)[:5]} (metainfo.classes) against {list(id_of)[:5]} (categories); "
            f"{closest(classes[0], id_of)}"
        )
    if len(id_of) < len(categories):
        names = [category["name"] for category in categories]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"expected one category for each name, got {twice!r} more than once in {where} "
            "(categories); give each its own name or merge them"
        )
    if label_order == "classes":
        return [id_of.get(name, NO_CATEGORY) for name in classes]
    return [category["id"] for category in categories if category["name"] in set(classes)]


def log_once(notes: list[str], seen: set[str], logger) -> None:
    """One warning with those notes that were not given before."""
    new = [note for note in notes if note not in seen]
    if new:
        seen.update(new)
        logger.log(logging.WARNING, "Evaluation: %s.", "; ".join(new))


def limits_of(iou_type: str, federated: bool) -> tuple[int, ...]:
    """A protocol's own limits of detections per image."""
    if federated:
        return (LVIS_LIMIT,)
    return PROPOSAL_LIMITS if iou_type == "proposal" else COCO_LIMITS


def numbers_of(iou_type: str, counts, categories, federated: bool) -> dict[str, float]:
    """The numbers of one kind by name."""
    if iou_type == "proposal":
        return proposal_numbers(counts)
    if federated:
        return lvis_numbers(counts, {category["id"]: frequency_group(category) for category in categories})
    return coco_numbers(counts)


def _fixed_ap(engine, detections, protocol: Protocol, categories) -> dict[str, float]:
    loaded = engine.load(detections.best_per_category(FIXED_AP_PER_CATEGORY), NO_LIMIT)
    counts = engine.accumulate(loaded, replace(protocol, max_detections=(NO_LIMIT,)))
    numbers = numbers_of(protocol.iou_type, _with_ids(counts, engine.truth), categories, federated=True)
    return {f"fixed_{name}": value for name, value in numbers.items() if name.startswith("AP")}


def _notes(result: Evaluation) -> list[str]:
    notes = []
    for iou_type, numbers in result.numbers.items():
        if result.num_detections[iou_type] == 0 and max(numbers.values()) > MISSING:
            notes.append(f"no {iou_type} detections at all, so every number is 0")
        empty = [name for name, value in numbers.items() if value == MISSING]
        if empty:
            notes.append(f"the ground truth holds no object for {iou_type} {', '.join(empty)}: shown as -1")
    return notes
