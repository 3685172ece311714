"""Ground truth of an evaluation: checked, and numbered so that every engine counts the same, whatever the file's ids.

An engine gets images, categories and objects numbered from 1. Ids as files have them are no good there: hotcoco
passes image ids through floats (two hashes above 2**53 become one) and takes neither texts nor negative ones,
pycocotools takes an object with id 0 for unmatched. :class:`GroundTruth` keeps the file's ids and translates.
"""

import os
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError
from ..text_files import no_collector
from .accumulated import frequency_group
from .detections import Detections, id_column
from .run_lengths import annotation_area, largest_area, segmentation_fault
from .truth_check import FEDERATED_LISTS, check_truth, read_content

# An object that LVIS's rules ignore is given an area beyond every range (they end at 1e5 squared): lvis-api treats
# both alike, a match with either is neither right nor wrong.
_IGNORED_AREA = 1e11


@dataclass
class GroundTruth:
    """What detections are judged by.

    Attributes:
        where: the file, for messages.
        images, categories: the entries as the file has them; image number i is ``images[i - 1]``, likewise categories.
        dataset: a COCO dict with ids from 1, for engines.
        notes: what was assumed or left out, in sentences.
    """

    where: str
    images: list[dict]
    categories: list[dict]
    dataset: dict
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._number_of_image = {image["id"]: number for number, image in enumerate(self.images, start=1)}
        self._number_of_category = {one["id"]: number for number, one in enumerate(self.categories, start=1)}

    @property
    def image_ids(self) -> list:
        """Ids of the file, ascending (texts: in the file's order)."""
        return list(self._number_of_image)

    @property
    def category_ids(self) -> list:
        """Ids of the file, in its order."""
        return list(self._number_of_category)

    def image(self, image_id) -> dict:
        """The file's entry of an image."""
        return self.images[self._number_of_image[image_id] - 1]

    def size_hw(self, image_id) -> tuple[int, int] | None:
        """Height and width of an image in px; None where the file does not state it."""
        image = self.image(image_id)
        return (image["height"], image["width"]) if image.get("height") else None

    def image_numbers(self, ids) -> np.ndarray:
        """(n,) int64 numbers of the images with these ids (of the file). Raises InputError for others."""
        return self._numbers(ids, self._number_of_image, "images")

    def category_numbers(self, ids) -> np.ndarray:
        """(n,) int64 numbers of the categories with these ids (of the file). Raises InputError for others."""
        return self._numbers(ids, self._number_of_category, "categories")

    def numbered(self, detections: Detections) -> Detections:
        """Detections with the numbers of their images and categories in place of ids.

        Raises:
            InputError: an image or a category that the ground truth lacks, or masks of another size than the image's.
        """
        found = replace(
            detections,
            image_ids=self.image_numbers(detections.image_ids),
            category_ids=self.category_numbers(detections.category_ids),
        )
        if found.masks:
            sizes = np.array([self.size_hw(image["id"]) or (-1, -1) for image in self.images])[found.image_ids - 1]
            given = np.array([mask["size"] for mask in found.masks])
            bad = np.flatnonzero((sizes != given).any(axis=1))
            if bad.size:
                image = self.images[found.image_ids[bad[0]] - 1]
                raise InputError(
                    f"expected masks of their image's size, got {given[bad[0]].tolist()} on image {image['id']!r} of "
                    f"{image.get('height')} x {image.get('width')} [height, width] and {bad.size - 1} others, "
                    f"against {self.where}; give masks of the original image"
                )
        return found

    def must_have_masks(self, image_numbers, category_numbers) -> None:
        """Refuse objects without a mask among what is evaluated, and images without a size to draw masks on."""
        numbers, categories = set(image_numbers), set(category_numbers)
        without = "because 'segm' is evaluated, got {} without, the first "
        images = [image for number, image in enumerate(self.images, 1) if number in numbers and not image.get("height")]
        if images:
            raise InputError(
                f"expected height and width of every image, {without.format(len(images))}with id "
                f"{images[0]['id']!r}, in {self.where} (images); write them or evaluate 'bbox' alone"
            )
        objects = [
            ann
            for ann in self.dataset["annotations"]
            if "segmentation" not in ann and ann["image_id"] in numbers and ann["category_id"] in categories
        ]
        if objects:
            image, category = (
                entries[objects[0][key] - 1]
                for entries, key in ((self.images, "image_id"), (self.categories, "category_id"))
            )
            raise InputError(
                f"expected a mask (segmentation) for every object, {without.format(len(objects))}a "
                f"{category['name']!r} in image {image['id']!r}, in {self.where}; add the masks or "
                "evaluate 'bbox' alone"
            )

    def _numbers(self, ids, number_of: dict, group: str) -> np.ndarray:
        ids = id_column(ids)
        places = slice(None)
        if ids.dtype != object:  # millions of a few thousand kinds
            ids, places = np.unique(ids, return_inverse=True)
        unknown = [one for one in ids.tolist() if one not in number_of]
        if unknown:
            raise InputError(
                f"expected ids among the {group} of {self.where}, got {len(set(unknown))} others, the "
                f"first {unknown[0]!r}; give the annotation file that belongs to the detections"
            )
        return np.array([number_of[one] for one in ids.tolist()], np.int64)[places]


@no_collector()
def read_truth(ground_truth, federated: bool = False) -> GroundTruth:
    """Read, check and number a ground truth.

    Args:
        ground_truth: path of a COCO or LVIS json, or its content as a dict.
        federated: by LVIS's rules: lists and frequency groups are requested, crowds are ordinary objects, ``ignore``
            holds (as in lvis-api). By COCO's, crowds are crowds and ``ignore`` means nothing (as in pycocotools).

    Raises:
        InputError: naming file and entry.
    """
    where = str(ground_truth) if isinstance(ground_truth, str | os.PathLike) else _dict_in_words(ground_truth)
    content = read_content(ground_truth, where)
    check_truth(content, where, federated)
    images = content["images"]
    if all(isinstance(image["id"], int) for image in images):
        images = sorted(images, key=lambda image: image["id"])  # pycocotools breaks ties of scores by this order
    truth = GroundTruth(where, images, content["categories"], {})
    truth.dataset = {
        "images": [_numbered_image(truth, image, federated) for image in images],
        "categories": [
            {"id": number, "name": one["name"], "frequency": frequency_group(one) or "f"}
            for number, one in enumerate(truth.categories, start=1)
        ],
        "annotations": _numbered_annotations(truth, content.get("annotations") or [], federated),
    }
    return truth


def _dict_in_words(content) -> str:
    """A ground truth without a file, by its first image: that tells which data set its samples are of."""
    images = content.get("images") if isinstance(content, dict) else None
    first = images[0] if isinstance(images, list) and images else None
    name = first.get("file_name") if isinstance(first, dict) else None
    return f"the given dict (its first image is {name!s:.200})" if name else "the given dict"


def _numbered_image(truth: GroundTruth, image: dict, federated: bool) -> dict:
    numbered = {"id": truth._number_of_image[image["id"]], "file_name": _writable(image.get("file_name", ""))}
    if image.get("height"):
        numbered.update(height=image["height"], width=image["width"])
    if federated:  # an id of no category judges nothing
        numbered.update(
            (name, [truth._number_of_category[one] for one in image[name] if one in truth._number_of_category])
            for name in FEDERATED_LISTS
        )
    return numbered


def _writable(name) -> str:
    """A file's name as UTF-8 can have it: on Linux it may hold any bytes."""
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")


def _numbered_annotations(truth: GroundTruth, annotations: list[dict], federated: bool) -> list[dict]:
    numbered, without_area, beyond = [], 0, 0
    for number, ann in enumerate(annotations, start=1):
        one = {
            "id": number,
            "image_id": truth._number_of_image[ann["image_id"]],
            "category_id": truth._number_of_category[ann["category_id"]],
            "bbox": ann["bbox"],
            "area": ann.get("area"),
            "iscrowd": 0 if federated else int(ann.get("iscrowd", 0)),
        }
        if ann.get("segmentation"):
            one["segmentation"] = ann["segmentation"]
        size_hw = truth.size_hw(ann["image_id"])
        if size_hw and (one["area"] or 0) > largest_area(ann["bbox"], size_hw):
            one["area"] = None
            beyond += 1
        if not one["area"]:  # also 0, which tools write that do not measure
            one["area"] = annotation_area(one, size_hw) if size_hw else one["bbox"][2] * one["bbox"][3]
            without_area += one["area"] > 0
        if federated and ann.get("ignore"):
            one["area"] = _IGNORED_AREA
        numbered.append(one)
    if without_area:
        truth.notes.append(f"{without_area} annotations have no 'area': their mask's, else their box's, was used")
    if beyond:
        truth.notes.append(f"{beyond} of them have an 'area' beyond their image")
    return numbered


def truth_from_samples(samples: list[dict], classes) -> dict:
    """A COCO dict whose category ids are the labels.

    Args:
        samples: one dict per image: ``img_id`` int or text, ``width``, ``height`` px, ``instances`` as data sets make
            them (``bbox`` xyxy px, ``bbox_label``, ``ignore_flag``, optional ``mask`` as polygons or run lengths,
            ``area`` and ``ignore``), optional LVIS lists ``neg_category_ids`` and ``not_exhaustive_category_ids`` **as
            labels**, optional ``img_path``.
        classes: names in label order, or category dicts (name, frequency, ...) in label order.

    Returns:
        images, categories, annotations. ``ignore_flag`` becomes ``iscrowd``; an object without ``area`` has its mask's,
        else its box's.
    """
    categories = [dict(one if isinstance(one, dict) else {"name": one}, id=label) for label, one in enumerate(classes)]
    images: list[dict] = []
    annotations: list[dict] = []
    for sample in samples:
        size_hw = (int(sample["height"]), int(sample["width"]))
        image = {
            "id": sample["img_id"],
            "height": size_hw[0],
            "width": size_hw[1],
            "file_name": str(sample.get("img_path") or ""),
        }
        for name in FEDERATED_LISTS:
            if name in sample:
                image[name] = [int(one) for one in sample[name]]
        images.append(image)
        for instance in sample["instances"]:
            x1, y1, x2, y2 = (float(side) for side in instance["bbox"])
            ann = {
                "id": len(annotations) + 1,
                "image_id": sample["img_id"],
                "category_id": int(instance["bbox_label"]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": int(instance.get("ignore_flag", 0)),
                "ignore": int(bool(instance.get("ignore", 0))),
            }
            if instance.get("mask"):
                fault = segmentation_fault(instance["mask"], size_hw)
                if fault:
                    raise InputError(
                        f"expected masks of the image's size, got {fault} (image {sample['img_id']!r}, "
                        f"{image['file_name']}); correct the annotation"
                    )
                ann["segmentation"] = instance["mask"]
            ann["area"] = instance["area"] if "area" in instance else annotation_area(ann, size_hw)
            annotations.append(ann)
    return {"images": images, "categories": categories, "annotations": annotations}


def instances_of(sample: dict) -> list[dict]:
    """The ``instances`` of a data sample, or an error that says how to get them."""
    if "instances" not in sample:
        raise InputError(
            "expected the ground truth in every data sample, because the metric has ann_file=None; got a sample "
            f"without 'instances' (image {sample.get('img_id')}). Give the metric an ann_file, or add 'instances' "
            "to meta_keys of PackDetInputs in the test pipeline"
        )
    return sample["instances"]
