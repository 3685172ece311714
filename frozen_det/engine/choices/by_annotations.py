"""`custom`: the config for one's own data, with masks where every object has one and with boxes alone elsewhere.

Polygons that are their boxes' own rectangles, as some tools write them for boxes, are no masks.
"""

from collections import Counter
from dataclasses import dataclass

from ...datasets.readers.annotation_check import read_annotations
from ...datasets.readers.folder_layout import resolve_user_data
from ...errors import InputError

CUSTOM = "custom"
WITH_BOXES, WITH_MASKS = "custom_coco", "custom_masks"
_CORNER_PX = 1.0  # tools round the corners


@dataclass(frozen=True)
class Picked:
    """What was picked.

    Attributes:
        config: name of the config.
        why: what the annotations hold, and what follows, in words.
        content: of the training split's json.
    """

    config: str
    why: str
    content: dict


def require_data(root) -> str:
    """The folder of the user's data.

    Raises:
        InputError: none was named.
    """
    if not isinstance(root, str) or not root:
        raise InputError(
            f"expected the folder of your data with `{CUSTOM}`, which picks by what its annotations hold, got "
            f"{root if root else 'none'}. Name it: --data my/data (in Python data='my/data')."
        )
    return root


def picked(root: str, wants_masks: bool | None = None) -> Picked:
    """The config for a folder of data.

    Args:
        root: in any tree that :func:`~frozen_det.datasets.readers.folder_layout.resolve_user_data` knows.
        wants_masks: whether the detector that was asked for learns masks; None where none was.

    Raises:
        InputError: data that cannot be read; masks are asked for and not there.
    """
    splits = resolve_user_data(root)
    contents = [read_annotations(splits[split][0]) for split in ("train", "val")]
    held = _held_by(contents)
    masks, objects = held["masks"], held["objects"]
    all_masks = objects > 0 and masks == objects
    if all_masks:
        found = f"all {objects} objects have polygons or run-length masks"
    elif masks:
        found = f"{masks} of {objects} objects have masks, which are learnt where every object has one"
    elif held["rectangles"]:
        found = f"the polygons of {held['rectangles']} of {objects} objects are rectangles, their boxes again"
    else:
        found = f"the {objects} objects have boxes alone"
    if wants_masks and not all_masks:
        raise InputError(
            f"expected a mask for every object in {root}, as the detector learns masks, but {found}. Annotate "
            "them, or take a detector of boxes, as --detector faster."
        )
    if wants_masks is False and all_masks:
        return Picked(WITH_BOXES, f"in {root} {found}; the detector learns boxes: {WITH_BOXES}", contents[0])
    name = WITH_MASKS if all_masks else WITH_BOXES
    detector = "" if wants_masks is not None else f", {'Mask' if all_masks else 'Faster'} R-CNN"
    return Picked(name, f"in {root} {found}: {name}{detector}", contents[0])


def _held_by(contents: list[dict]) -> Counter:
    """Counts: ``objects`` (crowds and ignored ones left out), ``masks``, ``rectangles``."""
    held: Counter = Counter()
    for one in (one for content in contents for one in content["annotations"]):
        if one.get("iscrowd") or one.get("ignore"):
            continue
        rectangle = _is_box_again(one)
        held["objects"] += 1
        held["rectangles"] += rectangle
        held["masks"] += bool(one.get("segmentation")) and not rectangle
    if held["masks"]:  # a rectangle among true outlines is one: a door, a sign
        held["masks"] += held.pop("rectangles", 0)
    return held


def _is_box_again(annotation: dict) -> bool:
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list) or len(segmentation) != 1 or len(segmentation[0]) not in (8, 10):
        return False
    x, y, width, height = annotation["bbox"]
    points = list(zip(segmentation[0][::2], segmentation[0][1::2]))
    corners = [(x, y), (x + width, y), (x, y + height), (x + width, y + height)]
    near = lambda one, other: max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= _CORNER_PX  # noqa: E731
    return all(any(near(point, corner) for point in points) for corner in corners) and all(
        any(near(point, corner) for corner in corners) for point in points
    )
