"""COCO json, read and checked before anything uses it. What cannot be meant is refused, with entry and remedy.

Refused: unreadable json, missing keys, NaN and negative sizes, ids that are double, of mixed kinds or point nowhere,
flags that are neither 0 nor 1, masks that :mod:`.segmentation_check` refuses. Boxes that are merely useless (no area,
outside the image) are the dataset's to drop and count. An empty root category, as Roboflow writes one, is left out.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter

import numpy as np
from mmengine.logging import print_log

from ...errors import closest
from ...evaluation.entries import Entries
from ...text_files import is_writable, no_collector, read_json
from .class_names import as_seen
from .refusals import few, refuse, shown
from .segmentation_check import check_segmentations

_IMAGE_KEYS = ("id", "height", "width")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area")
_CATEGORY_KEYS = ("id", "name")
_FLAGS = ("iscrowd", "ignore", "pseudo")
_FLAG_VALUES = (0, 1, None)
_NO_SUPERCATEGORY = (None, "", "none")
_BEYOND_IMAGES = 2**31  # px
_roots_named: set = set()


@no_collector()
def read_annotations(
    path: str | os.PathLike,
    name_keys: tuple[str, ...] = ("file_name",),
    labelled: bool = True,
    notes: Counter | None = None,
    keep_root: bool = False,
    empty_masks: list | None = None,
) -> dict:
    """Content of a COCO json after all checks.

    Args:
        path: The json.
        name_keys: Keys of which each image must have one, for its file.
        labelled: False admits a json without annotations (pictures to be predicted on).
        notes: Counts here what was left out.
        keep_root: Whether an empty root category stays.
        empty_masks: Takes the ids of the annotations whose mask covers nothing of its image.

    Returns:
        The content; ``annotations`` is there in any case. Boxes are finite, their sizes not negative; heights and
        widths are ints, ids of one kind.

    Raises:
        InputError: Naming the file, the entry and what to do.
    """
    content = _read_object(path)
    for key in ("images", "categories", *(["annotations"] if labelled else [])):
        if not isinstance(content.get(key), list):
            refuse(
                path,
                f"expected a list under the top-level key {key!r}",
                f"got {shown(content)}",
                closest(key, content) or "write it as COCO instances json",
            )
    content.setdefault("annotations", [])
    content["categories"] = _checked_categories(content, path, keep_root)
    images, annotations = (Entries(content[group], group, path) for group in ("images", "annotations"))
    _check_images(images, name_keys)
    _check_entries(annotations, content)
    _check_boxes(annotations)
    sizes = {image["id"]: [image["height"], image["width"]] for image in content["images"]}
    empty = check_segmentations(content["annotations"], sizes, path, Counter() if notes is None else notes)
    if empty_masks is not None:
        empty_masks += [content["annotations"][number]["id"] for number in empty]
    return content


@no_collector()
def read_classes(path: str | os.PathLike) -> tuple[str, ...]:
    """Names of the categories in the order of the json; label i is the i-th of them everywhere in this package."""
    return tuple(read_class_ids(path))


def read_class_ids(path: str | os.PathLike) -> dict[str, int | str]:
    """The id of each category by its name, in the order of the json."""
    content = _read_object(path)
    if not isinstance(content.get("categories"), list):
        refuse(
            path,
            "expected a list under the top-level key 'categories'",
            f"got {shown(content)}",
            "name a COCO instances json",
        )
    return {category["name"]: category["id"] for category in _checked_categories(content, path)}


def class_counts(content: dict) -> dict[str, int]:
    """Number of annotations of each category, in the order of the json."""
    counts = Counter(annotation["category_id"] for annotation in content["annotations"])
    return {category["name"]: counts[category["id"]] for category in content["categories"]}


def _read_object(path) -> dict:
    content = read_json(path, "an annotation file")
    if not isinstance(content, dict):
        refuse(
            path,
            "expected an object with images, annotations and categories",
            f"got a {type(content).__name__}",
            "write it as COCO instances json",
        )
    return content


def _checked_categories(content: dict, path, keep_root: bool = False) -> list[dict]:
    """The categories that are classes."""
    categories = content["categories"]
    if not categories:
        refuse(path, "expected at least one category", "got none", "list every class under 'categories'")
    entries = Entries(categories, "categories", path)
    _check_keys(entries, _CATEGORY_KEYS)
    _check_ids(entries, "id")
    _check_unique(entries, "id")
    entries.must(
        lambda c: isinstance(c["name"], str) and as_seen(c["name"]),
        "a text as name",
        lambda c: repr(c["name"]),
        "write the class's name in quotes",
    )
    entries.must(
        lambda c: is_writable(c["name"]),
        "a name of whole characters",
        lambda c: repr(c["name"])[:80],
        "write the name again: half of a character beyond 16 bits (a surrogate) is no text",
    )
    if not keep_root:
        categories = _without_root(categories, content.get("annotations"), path)
    entries = Entries(categories, "categories", path)
    _check_unique(entries, "name")
    names = Counter(as_seen(category["name"]) for category in categories)
    entries.must(
        lambda c: names[as_seen(c["name"])] == 1,
        "names that differ to the eye",
        lambda c: f"{c['name']!r} and another that looks the same",
        "give each its own, without doubled blanks and invisible characters",
    )
    return categories


def _without_root(categories: list[dict], annotations, path) -> list[dict]:
    """Without the root that Roboflow puts before the classes: of no box, and the supercategory of all others."""
    for root in categories:
        others = [category for category in categories if category is not root]
        if (
            not others
            or root.get("supercategory") not in _NO_SUPERCATEGORY
            or any(category.get("supercategory") != root["name"] for category in others)
        ):
            continue
        if any(a.get("category_id") == root["id"] for a in annotations or () if isinstance(a, dict)):
            continue
        if str(path) not in _roots_named:  # several readers ask for one file's classes
            _roots_named.add(str(path))
            print_log(
                f"{path}: the category {root['name']!r} (id {root['id']}) has no box and is the supercategory of "
                "all others: it is left out of the classes (to keep it, list all in metainfo.classes)",
                "current",
            )
        return others
    return categories


def _check_images(images: Entries, name_keys: tuple[str, ...]) -> None:
    _check_keys(images, _IMAGE_KEYS)
    images.must(
        lambda i: {type(i.get(key)) for key in name_keys} - {type(None)} == {str},
        f"a text under {' or '.join(map(repr, name_keys))}",
        shown,
        "name the image file",
    )
    for is_good, expected in (
        (_is_positive, "height and width above 0"),
        (_is_whole, "whole numbers as height and width"),
    ):
        images.must(
            lambda i, is_good=is_good: is_good(i["height"]) and is_good(i["width"]),
            expected,
            lambda i: f"height {i['height']!r}, width {i['width']!r}",
            "write the size of the image file in px",
        )
    for image in images.entries:
        image["height"], image["width"] = int(image["height"]), int(image["width"])
    _check_ids(images, "id")
    _check_unique(images, "id")


def _check_entries(annotations: Entries, content: dict) -> None:
    """Keys, ids, references and flags of the annotations."""
    _check_keys(annotations, _ANNOTATION_KEYS)
    for key in ("id", "image_id", "category_id"):
        _check_ids(annotations, key)
    _check_unique(annotations, "id")
    image_ids, category_ids = (set(_values(content[group], "id")) for group in ("images", "categories"))
    expected = "the id of an entry of 'images' as image_id"
    _check_known(annotations, "image_id", image_ids, expected, "add the image or remove the annotation")
    expected = f"one of the category ids {few(sorted(category_ids, key=str))} as category_id"
    remedy = "add the category or correct the id (ids need not start at 0)"
    _check_known(annotations, "category_id", category_ids, expected, remedy)
    for key in _FLAGS:
        # A text such as "0" would count as true.
        bad = [number for number, a in enumerate(annotations.entries) if a.get(key) not in _FLAG_VALUES]
        annotations.refuse(bad, f"0 or 1 as {key}", lambda a, key=key: repr(a[key]), "write a number, not a text")


def _check_boxes(annotations: Entries) -> None:
    if not annotations.entries:
        return
    try:
        rows = [(*a["bbox"], a["area"]) for a in annotations.entries]
        # (N, 5): x, y, width, height, area. Fast for the millions; which entry is bad is looked up afterwards.
        flat = list(chain.from_iterable(rows))
        good = {int, float}.issuperset(map(type, flat)) and set(map(len, rows)) == {5}
        numbers = np.fromiter(flat, float, len(flat)).reshape(-1, 5) if good else None
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        annotations.must(
            _is_box,
            "bbox as four numbers [x, y, width, height] and area as a number",
            lambda a: f"bbox {a['bbox']!r}, area {a['area']!r}"[:120],
            "write all five in px",
        )
    finite = np.isfinite(numbers).all(1) & (np.abs(numbers[:, :4]) < _BEYOND_IMAGES).all(1)
    for fine, expected, remedy in (
        (
            finite,
            "finite numbers in bbox and area, none beyond any image",
            "remove the annotation or write its real box",
        ),
        (
            (numbers[:, 2:4] >= 0).all(1),
            "width and height not below 0",
            "bbox is [x, y, width, height] with x, y the upper left corner",
        ),
    ):
        annotations.refuse(
            np.flatnonzero(~fine).tolist(), expected, lambda a: f"bbox {a['bbox']}, area {a['area']}", remedy
        )


def _is_positive(value) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf


def _is_box(annotation: dict) -> bool:
    box = annotation["bbox"]
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(type(n) is float or type(n) is int and abs(n) < 2**63 for n in (*box, annotation["area"]))
    )


def _is_whole(value) -> bool:
    return type(value) is int or type(value) is float and value.is_integer()


def _check_keys(entries: Entries, keys: tuple[str, ...]) -> None:
    expected = f"the keys {', '.join(keys)}"
    entries.must(
        lambda e: isinstance(e, dict) and all(key in e for key in keys), expected, shown, "add what is missing"
    )


def _check_ids(entries: Entries, key: str) -> None:
    """Ids are whole numbers, which become ints, or all are texts. Others meet as keys: true is 1, a list is none."""
    kinds = set(map(type, _values(entries.entries, key)))
    if kinds <= {int} or kinds == {str}:
        return
    as_texts = sum(type(entry[key]) is str for entry in entries.entries) > len(entries.entries) / 2
    entries.must(
        lambda e: type(e[key]) is str if as_texts else _is_whole(e[key]),
        f"{'a text' if as_texts else 'a whole number'} as {key}, as in the other entries",
        lambda e: repr(e[key])[:80],
        "give all entries ids of one kind",
    )
    if not as_texts:  # pandas writes all ids of a column as floats where one was missing
        for entry in entries.entries:
            entry[key] = int(entry[key])


def _check_known(entries: Entries, key: str, known: set, expected: str, remedy: str) -> None:
    """References of annotations to what is there."""
    if not known.issuperset(_values(entries.entries, key)):
        entries.must(lambda e: e[key] in known, expected, lambda e: repr(e[key]), remedy)


def _values(entries: list, key: str) -> Iterator:
    return map(itemgetter(key), entries)


def _check_unique(entries: Entries, key: str) -> None:
    values = list(_values(entries.entries, key))
    if len(set(values)) == len(values):
        return
    double, times = Counter(values).most_common(1)[0]
    refuse(
        entries.where,
        f"expected each {key} in '{entries.group}' once",
        f"got {double!r} {times} times",
        f"give each entry a {key} of its own",
    )
