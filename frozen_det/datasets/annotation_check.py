"""COCO json, read and checked before anything uses it. What cannot be meant is refused, with entry and remedy.

Refused: unreadable json, missing keys, NaN and negative sizes, ids that are double or point nowhere. Boxes that
are merely useless (no area, outside the image) are the dataset's to drop and count.
"""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np

from ..errors import InputError, closest

_IMAGE_KEYS = ("id", "height", "width")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area")
_CATEGORY_KEYS = ("id", "name")


def read_annotations(path: str | os.PathLike, name_keys: tuple[str, ...] = ("file_name",),
                     labelled: bool = True) -> dict:
    """Content of a COCO json after all checks.

    Args:
        path: The json.
        name_keys: Keys of which each image must have one, for its file.
        labelled: False admits a json without annotations (pictures to be predicted on).

    Returns:
        The content; ``annotations`` is there in any case. Boxes are finite, their sizes not negative.

    Raises:
        InputError: Naming the file, the entry and what to do.
    """
    content = _read_json(Path(path))
    for key in ("images", "categories", *(["annotations"] if labelled else [])):
        if not isinstance(content.get(key), list):
            _refuse(path, f"expected a list under the top-level key {key!r}", f"got the keys {_shown(content)}",
                    closest(key, content) or "write it as COCO instances json")
    content.setdefault("annotations", [])
    _check_categories(content["categories"], path)
    _check_images(content["images"], path, name_keys)
    _check_entries(content, path)
    _check_boxes(content["annotations"], path)
    _check_segmentations(content, path)
    return content


def read_classes(path: str | os.PathLike) -> tuple[str, ...]:
    """Names of the categories in the order of the json; label i is the i-th of them everywhere in this package."""
    path = Path(path)
    content = _read_json(path)
    if not isinstance(content.get("categories"), list):
        _refuse(path, "expected a list under the top-level key 'categories'",
                f"got the keys {_shown(content)}", "name a COCO instances json")
    _check_categories(content["categories"], path)
    return tuple(category["name"] for category in content["categories"])


def class_counts(content: dict) -> dict[str, int]:
    """Number of annotations of each category, in the order of the json."""
    counts = Counter(annotation["category_id"] for annotation in content["annotations"])
    return {category["name"]: counts[category["id"]] for category in content["categories"]}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"expected an annotation file at {path}, got nothing there; correct ann_file or "
                         "data_root.") from error
    except OSError as error:
        raise InputError(f"{path}: expected a readable annotation file, got: {error.strerror}.") from error
    except ValueError as error:  # both broken json and broken text
        raise InputError(f"{path}: expected json, got text that ends or breaks off: {error}; "
                         "write or fetch the file again.") from error
    if not isinstance(content, dict):
        _refuse(path, "expected an object with images, annotations and categories",
                f"got a {type(content).__name__}", "write it as COCO instances json")
    return content


def _check_categories(categories: list, path) -> None:
    if not categories:
        _refuse(path, "expected at least one category", "got none", "list every class under 'categories'")
    _check_keys(categories, "categories", _CATEGORY_KEYS, path)
    _check_unique(categories, "categories", "id", path)
    _check_unique(categories, "categories", "name", path)
    _check_each(categories, "categories", path, lambda c: isinstance(c["name"], str), "a text as name",
                lambda c: repr(c["name"]), "put it in quotes")


def _check_images(images: list, path, name_keys: tuple[str, ...]) -> None:
    _check_keys(images, "images", _IMAGE_KEYS, path)
    _check_each(images, "images", path, lambda i: any(isinstance(i.get(key), str) for key in name_keys),
                f"a text under {' or '.join(map(repr, name_keys))}", _shown, "name the image file")
    _check_each(images, "images", path,
                lambda i: all(isinstance(i[k], int | float) and 0 < i[k] < math.inf for k in ("height", "width")),
                "height and width above 0", lambda i: f"height {i['height']}, width {i['width']}",
                "write the size of the image file in px")
    _check_unique(images, "images", "id", path)


def _check_entries(content: dict, path) -> None:
    """Keys, ids and references of the annotations."""
    annotations = content["annotations"]
    _check_keys(annotations, "annotations", _ANNOTATION_KEYS, path)
    _check_unique(annotations, "annotations", "id", path)
    image_ids = {image["id"] for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    _check_each(annotations, "annotations", path, lambda a: a["image_id"] in image_ids,
                "the id of an entry of 'images' as image_id", lambda a: repr(a["image_id"]),
                "add the image or remove the annotation")
    _check_each(annotations, "annotations", path, lambda a: a["category_id"] in category_ids,
                f"one of the category ids {_few(sorted(category_ids, key=str))} as category_id",
                lambda a: repr(a["category_id"]), "add the category or correct the id (ids need not start at 0)")


def _check_boxes(annotations: list, path) -> None:
    if not annotations:
        return
    try:
        # (N, 5): x, y, width, height, area. Fast for the millions; which entry is bad is looked up afterwards.
        numbers = np.array([(*a["bbox"], a["area"]) for a in annotations])
        # The kind is left to numpy: it would turn texts and None into numbers if asked for numbers.
        good = numbers.ndim == 2 and numbers.shape[1] == 5 and numbers.dtype.kind in "iuf"
    except (TypeError, ValueError):
        good = False
    if not good:
        _check_each(annotations, "annotations", path, _is_box, "bbox as four numbers [x, y, width, height] "
                    "and area as a number", lambda a: f"bbox {a['bbox']!r}, area {a['area']!r}",
                    "write all five in px")
        numbers = np.array([(*a["bbox"], a["area"]) for a in annotations], dtype=float)  # tuples, huge integers
    finite = np.isfinite(numbers).all(1)
    _check_flags(finite, annotations, path, "finite numbers in bbox and area",
                 "remove the annotation or write its real box")
    _check_flags((numbers[:, 2:4] >= 0).all(1), annotations, path, "width and height not below 0",
                 "bbox is [x, y, width, height] with x, y the upper left corner")


def _check_segmentations(content: dict, path) -> None:
    sizes = {image["id"]: [image["height"], image["width"]] for image in content["images"]}

    def is_good(annotation: dict) -> bool:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            return True
        if isinstance(segmentation, dict):
            return ("counts" in segmentation
                    and list(segmentation.get("size", ())) == sizes[annotation["image_id"]])
        try:
            return all(len(polygon) % 2 == 0 and math.isfinite(sum(polygon)) for polygon in segmentation)
        except TypeError:
            return False

    _check_each(content["annotations"], "annotations", path, is_good,
                "segmentation as polygons [[x0, y0, x1, y1, ...], ...] of finite numbers, or as RLE with counts "
                "and the image's size [height, width]", lambda a: repr(a["segmentation"])[:80],
                "correct it, or remove the key segmentation where only boxes are needed")


def _is_box(annotation: dict) -> bool:
    box = annotation["bbox"]
    return isinstance(box, list | tuple) and len(box) == 4 and all(
        isinstance(n, int | float) and not isinstance(n, bool) for n in (*box, annotation["area"]))


def _check_flags(good: np.ndarray, annotations: list, path, expected: str, remedy: str) -> None:
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        annotation = annotations[first]
        _refuse_entry(path, "annotations", first, annotation, expected,
                      f"bbox {annotation['bbox']}, area {annotation['area']}", int((~good).sum()), remedy)


def _check_keys(entries: list, group: str, keys: tuple[str, ...], path) -> None:
    _check_each(entries, group, path, lambda e: isinstance(e, dict) and all(key in e for key in keys),
                f"the keys {', '.join(keys)}", _shown, "add what is missing")


def _check_unique(entries: list, group: str, key: str, path) -> None:
    values = [entry[key] for entry in entries]
    try:
        if len(set(values)) == len(values):
            return
    except TypeError:
        _check_each(entries, group, path, lambda e: isinstance(e[key], int | float | str), f"a number as {key}",
                    lambda e: repr(e[key]), f"give each entry a {key} of its own")
    double, times = Counter(values).most_common(1)[0]
    _refuse(path, f"expected each {key} in '{group}' once", f"got {double!r} {times} times",
            f"give each entry a {key} of its own")


def _check_each(entries: list, group: str, path, is_good, expected: str, got, remedy: str) -> None:
    bad = [number for number, entry in enumerate(entries) if not is_good(entry)]
    if bad:
        _refuse_entry(path, group, bad[0], entries[bad[0]], expected, got(entries[bad[0]]), len(bad), remedy)


def _refuse_entry(path, group: str, number: int, entry, expected: str, got: str, count: int, remedy: str) -> None:
    name = f" (id {entry['id']})" if isinstance(entry, dict) and "id" in entry else ""
    others = f"; {count} entries in all are like that" if count > 1 else ""
    raise InputError(f"{path}: {group}[{number}]{name}: expected {expected}, got {got}{others}; {remedy}.")


def _refuse(path, expected: str, got: str, remedy: str) -> None:
    raise InputError(f"{path}: {expected}, {got}; {remedy.rstrip('?.')}{'?' if remedy.endswith('?') else '.'}")


def _shown(entry) -> str:
    return f"the keys {_few(list(entry))}" if isinstance(entry, dict) else repr(entry)[:80]


def _few(values: list, count: int = 12) -> str:
    return ", ".join(map(str, values[:count])) + (f", ... ({len(values)})" if len(values) > count else "")
