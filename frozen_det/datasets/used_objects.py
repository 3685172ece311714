"""A data set of which nothing would be learned is refused: no object left, no mask where masks are loaded, every mask
ignored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ..errors import InputError
from ..evaluation.run_lengths import largest_area
from .readers.annotation_check import class_counts
from .readers.class_names import few_names


def check_used(
    data_list: list[dict], held: int, dropped: Counter, ann_file: str, test_mode: bool, allow_empty: bool
) -> None:
    """Refuse training data without an object, and any data whose objects were all dropped as useless.

    Args:
        data_list: entries of the images that are kept, with ``instances``.
        held: annotations in the file.
        dropped: what was left out, by reason.
        ann_file: for messages.
        test_mode: whether the data are for measuring; without a single annotation they are pictures to be looked at.
        allow_empty: whether training data may be pictures of nothing.
    """
    instances = [one for info in data_list for one in info["instances"]]
    # For measuring, boxes below 1 px stay; here they are counted as what they would be in training.
    tiny = sum(one["bbox"][2] - one["bbox"][0] < 1 or one["bbox"][3] - one["bbox"][1] < 1 for one in instances)
    dropped = dropped + Counter({BELOW_1_PX: tiny})
    num_used = sum(not one["ignore_flag"] for one in instances) - tiny
    if num_used > 0 or (test_mode and not dropped[BELOW_1_PX]) or (allow_empty and not held):
        return
    reasons = ", ".join(f"{count} {what}" for what, count in dropped.items() if count and what != "boxes")
    shares = (
        "; boxes below 1 px may be shares of the image's size: multiply x and width by its width, y and height "
        "by its height"
        if dropped[BELOW_1_PX] > held / 2
        else ""
    )
    empty = "" if held else "; annotate the images, or set allow_empty=True in the dataset for pictures of nothing"
    raise InputError(
        f"{ann_file}: expected at least one object to {'find' if test_mode else 'learn'}, got none in "
        f"{len(data_list)} images and {held} annotations. Counted: {reasons or 'nothing'}{shares}{empty}."
    )


BELOW_1_PX = "boxes below 1 px"
REPEATED = "objects that repeat another of their image (class, box and mask), kept"
UNKNOWN_AREA = "areas of 0 or less or beyond their image, taken as unknown"


def empty_mask_in_words(ids: list, left_out: bool) -> str:
    """What objects are counted as whose masks cover nothing of their image: there is nothing to learn from them; an
    evaluation keeps them, as pycocotools does, which counts them as missed."""
    return (
        f"objects whose mask has no area on their image, {'left out' if left_out else 'kept'} (the first in the file: "
        f"annotation id {ids[0]!r})"
    )


def num_repeated(instances: list[dict]) -> int:
    """How many objects of an image repeat another one: class, box, mask and all."""
    keys = [(one["bbox_label"], one["ignore_flag"], *one["bbox"]) for one in instances]
    if len(set(keys)) == len(keys):
        return 0
    masks: dict[tuple, list] = {}
    count = 0
    for key, instance in zip(keys, instances):
        others = masks.setdefault(key, [])
        count += instance.get("mask") in others
        others.append(instance.get("mask"))
    return count


def stated_area(annotation: dict, image: dict) -> float | None:
    """The area that an annotation states, in px^2; None for one of 0 or less, and for one that neither its image nor
    its box can hold."""
    area = annotation["area"]
    return area if 0 < area <= largest_area(annotation["bbox"], (image["height"], image["width"])) else None


def in_words(content: dict, dropped: Counter, num_images: int, classes: Sequence[str], ann_file: str) -> str:
    """How much of a file is used, and all that was left out or taken for granted."""
    notes = [f"{count} {what}" for what, count in dropped.items() if count and what != "boxes"]
    return (
        f"{ann_file}: {num_images} of {len(content['images'])} images, {dropped['boxes']} of "
        f"{len(content['annotations'])} boxes, {len(classes)} classes"
        + (f"; counted: {', '.join(notes)}" * bool(notes))
    )


def nothing_left(content: dict, dropped: Counter, classes: Iterable[str], filters: dict, ann_file: str) -> InputError:
    """That not one image is left, with what the file holds and what was asked for."""
    counts = class_counts(content)
    held = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:20])
    reasons = ", ".join(f"{n} {what}" for what, n in dropped.items() if n and what != "boxes")
    return InputError(
        f"{ann_file}: expected at least one usable image, got none of {len(content['images'])}. "
        f"The file holds: {held}{', ...' if len(counts) > 20 else ''}. The config has the classes "
        f"{few_names(classes)} and filter_cfg={filters}. Dropped: {reasons or 'nothing'}."
    )


def check_masks(data_list: list[dict], transforms: Iterable, ann_file: str) -> None:
    """Refuse data without masks, or with masks that the transforms ignore, where the transforms load masks."""
    for transform in transforms:
        if not getattr(transform, "with_mask", False):
            continue
        name = type(transform).__name__
        instances = [instance for info in data_list for instance in info["instances"]]
        without = sum("mask" not in instance for instance in instances)
        if without:
            first = next(info for info in data_list if any("mask" not in one for one in info["instances"]))
            raise InputError(
                f"{ann_file}: expected a mask (segmentation) for each object, as {name}(with_mask=True) loads them, "
                f"got {without} of {len(instances)} objects without one, the first on image {first['img_id']} "
                f"({first['img_path']}). Annotate them, or train on boxes alone: with_mask=False in {name}, and a "
                "detector without mask head."
            )
        polygons = sum(isinstance(one["mask"], list) for one in instances if not one["ignore_flag"])
        if instances and not polygons and getattr(transform, "poly2mask", True) is False:
            raise InputError(
                f"{ann_file}: expected polygons for {name}(poly2mask=False), which ignores objects with "
                f"run-length masks, got none in {len(instances)} objects; remove poly2mask=False."
            )


def transforms_of(pipeline) -> Iterator:
    """All transforms of a pipeline, those inside wrappers such as RandomApply too."""
    for transform in getattr(pipeline, "transforms", pipeline if isinstance(pipeline, list | tuple) else ()):
        yield transform
        yield from transforms_of(getattr(transform, "transforms", ()))
