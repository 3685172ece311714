"""What a ground truth must hold to be counted against; everything else is refused with file, entry and remedy.

An evaluator takes what it gets: of an object whose image is not listed, whose crowd flag is a text, whose id comes
twice, it makes a number without a word. LVIS's rules ask for more: both federated lists of every image, a frequency
group of every category. Sizes, boxes and masks are checked where they are there; areas and crowd flags may be absent.
"""

import os
from collections import Counter

from ..errors import InputError, closest
from ..text_files import is_writable, read_json
from .accumulated import frequency_group
from .entries import Entries
from .run_lengths import are_finite, are_plain_polygons, farthest_point, plain_numbers, segmentation_fault

FEDERATED_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def read_content(ground_truth, where: str) -> dict:
    """A COCO dict as given, or of a json.

    Raises:
        InputError: there is no such file, or none that is json with an object in it.
    """
    if isinstance(ground_truth, str | os.PathLike):
        ground_truth = read_json(ground_truth, "a COCO or LVIS annotation json")
    if not isinstance(ground_truth, dict):
        raise InputError(
            f"expected a COCO or LVIS annotation json with images, annotations and categories, got a "
            f"{type(ground_truth).__name__} in {where}; name the annotation file"
        )
    return ground_truth


def check_truth(content: dict, where: str, federated: bool) -> None:
    """Check images, categories and objects. A file without the key ``annotations`` (pictures of a test set) passes.

    Raises:
        InputError: naming file and entry.
    """
    for key in ("images", "categories", "annotations"):
        if not isinstance(content.get(key, [] if key == "annotations" else None), list):
            raise InputError(
                f"expected a list under {key!r} in {where}, got the keys {list(content)[:12]}; "
                f"{closest(key, content) or 'name a COCO or LVIS annotation json'}"
            )
    if not content["images"]:
        raise InputError(
            f"expected at least one image in {where} (images), got none: nothing would be evaluated; name "
            "the annotation file of the evaluated data"
        )
    images, categories = (_Objects(content[key], key, where) for key in ("images", "categories"))
    images.must(
        _is_size,
        "height and width as whole numbers above 0, or neither",
        lambda image: f"height {image.get('height')!r}, width {image.get('width')!r}",
        "write the size of the image file in px",
    )
    categories.have(
        "name", lambda name: isinstance(name, str) and name.strip(), "a text as name", "give each category its name"
    )
    categories.have(
        "name",
        is_writable,
        "a name of whole characters",
        "write the name again: half of a character beyond 16 bits (a surrogate) is no text",
    )
    image_ids, category_ids = images.unique_ids(), categories.unique_ids()
    if federated:
        _check_federated(images, categories)
    annotations = _Objects(content.get("annotations") or [], "annotations", where)
    annotations.have(
        "image_id",
        lambda one: _is_id(one) and one in image_ids,
        "the id of an entry of 'images' as image_id",
        "correct it or add the image",
        all_good=lambda values: _are_ids(values) and image_ids.issuperset(values),
    )
    annotations.have(
        "category_id",
        lambda one: _is_id(one) and one in category_ids,
        "the id of an entry of 'categories' as category_id",
        "correct it or add the category",
        all_good=lambda values: _are_ids(values) and category_ids.issuperset(values),
    )
    if any("id" in one for one in annotations.entries):  # they are renumbered; without any, nothing is lost
        annotations.unique_ids()
    _check_objects(
        annotations,
        {image["id"]: (image["height"], image["width"]) for image in content["images"] if image.get("height")},
    )


def _check_objects(annotations: "_Objects", size_hw_of: dict) -> None:
    annotations.have(
        "bbox",
        _is_box,
        "bbox as four finite numbers [x, y, width, height], width and height not below 0",
        "x, y is the upper left corner, in px",
        all_good=_are_boxes,
    )
    annotations.have(
        "area",
        lambda area: area is None or are_finite([area]) and area >= 0,
        "area as a number not below 0",
        "write the area in square px, or leave the key out",
        all_good=_are_areas,
    )
    for flag in ("iscrowd", "ignore"):
        annotations.have(
            flag,
            lambda value: type(value) in (int, float, bool) and value in (0, 1),
            f"{flag} as 0 or 1",
            "write the number",
            default=0,
            all_good=lambda values: {int}.issuperset(map(type, values)) and {0, 1}.issuperset(values),
        )
    masks = [one.get("segmentation") for one in annotations.entries]
    sizes_hw = [size_hw_of.get(one["image_id"]) for one in annotations.entries]
    polygons_are_good = are_plain_polygons(
        [mask for mask in masks if type(mask) is list and mask], min(map(farthest_point, set(sizes_hw)), default=0)
    )
    faults = {}

    def has_mask_or_none(one) -> bool:
        mask = one.get("segmentation")
        if mask and not (polygons_are_good and type(mask) is list):  # None, [] and {} say that there is none
            faults[id(one)] = segmentation_fault(one["segmentation"], size_hw_of.get(one["image_id"]))
        return faults.get(id(one)) is None

    annotations.must(
        has_mask_or_none,
        "polygons of at least three corners, or run lengths that fill the image",
        lambda one: faults[id(one)],
        "correct the mask, or leave the key segmentation out",
    )


def _check_federated(images: "_Objects", categories: "_Objects") -> None:
    """lvis-api stops at a missing list and a missing group with a KeyError; a "1" in a list is not category 1."""
    kinds = set(map(type, (one["id"] for one in categories.entries)))
    for name in FEDERATED_LISTS:
        images.have(
            name,
            lambda ids: isinstance(ids, list | tuple) and kinds.issuperset(map(type, ids)),
            f"the list {name} of category ids in every image, by LVIS's rules "
            "(without it false alarms on absent classes go unseen)",
            "take LVIS's own annotation file, or CocoMetric for data that are annotated throughout",
        )
    categories.must(
        frequency_group,
        "a frequency 'r', 'c' or 'f', or image_count as a whole number, in every category",
        lambda one: f"frequency {one.get('frequency')!r} and image_count {one.get('image_count')!r}",
        "take LVIS's own annotation file, or CocoMetric for data without frequency groups",
    )


class _Objects(Entries):
    """Entries that are objects."""

    def __init__(self, entries: list, group: str, where: str) -> None:
        super().__init__(entries, group, where)
        self.must(lambda one: isinstance(one, dict), "an object", lambda one: f"{one!r:.60}", "write it as COCO does")

    def unique_ids(self) -> set:
        """The ids: all whole numbers or all texts, each once."""
        ids = [one.get("id") for one in self.entries]
        if _are_ids(ids) and len(known := set(ids)) == len(ids):
            return known
        kinds = Counter(type(one.get("id")) for one in self.entries)
        usual = str if kinds[str] > kinds[int] else int
        self.must(
            lambda one: type(one.get("id")) is usual,
            f"a {'text' if usual is str else 'whole number'} as id, like the others",
            lambda one: repr(one.get("id"))[:60],
            "write all ids of one kind",
        )
        counts = Counter(one["id"] for one in self.entries)
        self.must(
            lambda one: counts[one["id"]] == 1,
            f"each id in {self.group!r} once",
            lambda one: f"it {counts[one['id']]} times",
            "give each entry an id of its own",
        )
        return set(counts)


def _is_id(value) -> bool:
    return type(value) in (int, str)


def _are_ids(values: list) -> bool:
    """Whether all are whole numbers, or all texts."""
    return set(map(type, values)) in ({int}, {str})


def _are_boxes(boxes: list) -> bool:
    """As :func:`_is_box` of each, for the usual lists of numbers."""
    if set(map(type, boxes)) != {list} or set(map(len, boxes)) != {4}:
        return False
    numbers = plain_numbers(boxes)
    return numbers is not None and bool((numbers.reshape(-1, 4)[:, 2:] >= 0).all())


def _are_areas(areas: list) -> bool:
    numbers = plain_numbers([areas])
    return numbers is not None and bool((numbers >= 0).all())


def _is_box(box) -> bool:
    return isinstance(box, list | tuple) and len(box) == 4 and are_finite(box) and box[2] >= 0 and box[3] >= 0


def _is_size(image: dict) -> bool:
    size = [image.get("height"), image.get("width")]
    return size == [None, None] or all(type(side) is int and side > 0 for side in size)
