"""CUB-200-2011 as it unpacks: the text files that list images, classes, boxes and the official split.

Wah et al., Caltech CNS-TR-2011-001. Nothing is decoded. A file that is missing, a line that does not parse, an image
that one file knows and another does not: one InputError with file and line.
"""

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..text_files import read_lines

SPLITS = ("train", "test")
#: Of the images, "ID PATH" (below images/).
LISTING = "images.txt"


@dataclass(frozen=True)
class Bird:
    """One image: its path below ``images/``, its class from 0 on, its split, its box (x1, y1, x2, y2), px."""

    path: str
    label: int
    split: str
    box_xyxy: tuple[float, float, float, float]


def read_cub(root) -> tuple[list[Bird], tuple[str, ...]]:
    """All images in the order of ``images.txt``, and the class names (``001.Black_footed_Albatross``).

    Args:
        root: the folder ``CUB_200_2011``.

    Raises:
        InputError: see the module.
    """
    root = Path(root).expanduser()
    names = _table(root, "classes.txt", 1)
    labels = {key: place for place, key in enumerate(names)}
    paths = _table(root, LISTING, 1)
    classes = _table(root, "image_class_labels.txt", 1, paths)
    splits = _table(root, "train_test_split.txt", 1, paths)
    boxes = _table(root, "bounding_boxes.txt", 4, paths)
    birds = []
    for key, (path,) in paths.items():
        (label,), (split,) = classes[key], splits[key]
        if label not in labels or split not in ("0", "1"):
            raise InputError(
                f"expected image {key} with a class of classes.txt and 0 or 1 in train_test_split.txt, "
                f"got class {label!r} and {split!r} ({root}); unpack the archive again."
            )
        try:
            x, y, width, height = (float(value) for value in boxes[key])
        except ValueError:
            width = height = 0.0
        if not (0 < width < float("inf") and 0 < height < float("inf")):
            raise InputError(
                f"expected x, y, width and height of a box with an area for image {key}, got "
                f"{' '.join(boxes[key])!r} ({root / 'bounding_boxes.txt'})."
            )
        birds.append(Bird(path, labels[label], SPLITS[split == "0"], (x, y, x + width, y + height)))
    return birds, tuple(name for (name,) in names.values())


def _table(root: Path, name: str, num_values: int, wanted=None) -> dict[str, list[str]]:
    """Lines ``ID VALUE...`` of a file, by id; with `wanted` exactly its ids."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(root / name), 1):
        if not line:
            continue
        key, *values = line.split(maxsplit=num_values)
        if len(values) != num_values or key in found:
            raise InputError(
                f"expected an id and {num_values} value{'s' * (num_values > 1)}, each id once, got "
                f"{line!r} ({root / name}, line {number})."
            )
        found[key] = values
    if not found or wanted is not None and found.keys() != wanted.keys():
        odd = sorted(set(found) ^ set(wanted or ()))[:3]
        raise InputError(
            f"expected the images of {LISTING} in {root / name}, got {len(found)} of "
            f"{len(wanted or ())}; in one alone: {', '.join(odd) or 'none'}. Unpack the archive again."
        )
    return found
