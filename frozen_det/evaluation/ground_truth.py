"""Ground truth of an evaluation: object areas where a file lacks them, and a COCO dict from a data set's samples.

The samples road serves metrics without an annotation file (``ann_file=None``), as in mmdet. It refuses samples
that carry no ``instances``.
"""

from ..errors import InputError


def truth_from_samples(samples: list[dict], classes) -> dict:
    """A COCO dict whose category ids are the labels.

    Args:
        samples: one dict per image: ``img_id`` int, ``width``, ``height`` px, ``instances`` as mmdet's data sets make
            them (``bbox`` xyxy px, ``bbox_label``, ``ignore_flag``, optional ``mask`` as polygons or run lengths),
            optional LVIS lists ``neg_category_ids`` and ``not_exhaustive_category_ids`` **as labels**.
        classes: names in label order, or category dicts (name, frequency, ...) in label order.

    Returns:
        images, categories, annotations. ``ignore_flag`` becomes ``iscrowd``; an object's area is its mask's where it
        has one, else its box's.
    """
    categories = [dict(one if isinstance(one, dict) else {"name": one}, id=label)
                  for label, one in enumerate(classes)]
    images, annotations = [], []
    for sample in samples:
        size_hw = (int(sample["height"]), int(sample["width"]))
        image = {"id": sample["img_id"], "height": size_hw[0], "width": size_hw[1], "file_name": ""}
        for name in ("neg_category_ids", "not_exhaustive_category_ids"):
            if name in sample:
                image[name] = list(sample[name])
        images.append(image)
        for instance in sample["instances"]:
            x1, y1, x2, y2 = (float(side) for side in instance["bbox"])
            ann = {"id": len(annotations) + 1, "image_id": sample["img_id"],
                   "category_id": int(instance["bbox_label"]), "bbox": [x1, y1, x2 - x1, y2 - y1],
                   "iscrowd": int(instance.get("ignore_flag", 0))}
            if instance.get("mask"):
                ann["segmentation"] = run_length(instance["mask"], size_hw)
            ann["area"] = annotation_area(ann, size_hw)
            annotations.append(ann)
    return {"images": images, "categories": categories, "annotations": annotations}


def instances_of(sample: dict) -> list[dict]:
    """The ``instances`` of a data sample, or an error that says how to get them."""
    if "instances" not in sample:
        raise InputError(
            "expected the ground truth in every data sample, because the metric has ann_file=None; got a sample "
            f"without 'instances' (image {sample.get('img_id')}). Give the metric an ann_file, or add 'instances' "
            "to meta_keys of PackDetInputs in the test pipeline")
    return sample["instances"]


def annotation_area(ann: dict, size_hw: tuple[int, int]) -> float:
    """Area in square pixels of one annotation: of its mask, else of its box."""
    from pycocotools import mask as rle_tools

    if ann.get("segmentation"):
        return float(rle_tools.area(run_length(ann["segmentation"], size_hw)))
    return float(ann["bbox"][2] * ann["bbox"][3])


def run_length(segmentation, size_hw: tuple[int, int]) -> dict:
    """Polygons, uncompressed or compressed run lengths -> one compressed mask ``{"size": [h, w], "counts": ...}``."""
    from pycocotools import mask as rle_tools

    if isinstance(segmentation, list):
        return rle_tools.merge(rle_tools.frPyObjects(segmentation, *size_hw))
    if isinstance(segmentation["counts"], list):
        return rle_tools.frPyObjects(segmentation, *size_hw)
    return segmentation
