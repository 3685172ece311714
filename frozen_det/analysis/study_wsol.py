"""Does the classifier look at the object: class activation maps, cut, boxed and held against annotated boxes.

CutMix (Yun et al., ICCV 2019), appendix B, and MaxBoxAccV2 (Choe et al., CVPR 2020). An image is right when its box
overlaps one of its class by more than 0.5; for top-1 localisation its class must be right too. Boxes are compared in
the original image. Data: images with boxes of one category each, COCO's json; ``toy`` writes single-digit scenes.
Where the model does not have the categories, a linear head is fitted on frozen features of the training images.
The map is the class activation map where the network has one, Grad-CAM++ (:mod:`.study_gradient_maps`) elsewhere.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..ops.localization import (
    THRESHOLD,
    best_iou,
    class_activation_map,
    map_box,
    max_box_acc_v2,
    moved_to_original,
)
from .study_candidates import StudyClassifier, StudyImages
from .study_features import (
    feature_maps,
    finer_last_stage,
    fit_linear,
    images_through,
    linear_head,
    mapped_layer,
    normalised,
    pooled_features,
)
from .study_gradient_maps import GradientLayer, gradient_layer, gradient_maps
from .study_numbers import Bootstrap, Measured, Series

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 19))
IOU = 0.5
MAPS = ("cam", "gradcam++")


@dataclass(frozen=True)
class BoxedImage:
    """One image, the name of its one category, its boxes (x1, y1, x2, y2) and its size, px."""

    path: Path
    category: str
    boxes_xyxy: tuple[tuple[float, float, float, float], ...]
    size_hw: tuple[int, int]


def read_boxed(root, split: str) -> tuple[list[BoxedImage], int]:
    """Images of ``root/annotations/{split}.json`` with boxes of one category; files in ``root/images`` or ``root``.

    Returns:
        the images, and how many were left out because they show several categories or none.

    Raises:
        InputError: no such file, or no image with one category.
    """
    root = Path(root).expanduser()
    file = root / "annotations" / f"{split}.json"
    if not file.is_file():
        raise InputError(f"expected COCO-style boxes in {file}, got no such file (--wsol-data).")
    content = json.loads(file.read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in content["categories"]}
    boxes: dict[int, list] = {}
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        boxes.setdefault(one["image_id"], []).append((names[one["category_id"]], (x, y, x + w, y + h)))
    found, num_left_out = [], 0
    for image in content["images"]:
        here = boxes.get(image["id"], [])
        if len({name for name, _ in here}) != 1:
            num_left_out += 1
            continue
        path = next((folder / image["file_name"] for folder in (root / "images", root)
                     if (folder / image["file_name"]).is_file()), root / image["file_name"])
        found.append(BoxedImage(path, here[0][0], tuple(box for _, box in here), (image["height"], image["width"])))
    if not found:
        raise InputError(f"expected images with boxes of one category in {file}, got none of {num_left_out} "
                         "(--wsol-data).")
    return found, num_left_out


def crop_geometry(size_hw: tuple[int, int], resize: int, size: int) -> tuple[tuple, tuple]:
    """(scale x and y, left and top of the crop) of "short side to `resize`, middle `size`", as torchvision rounds."""
    height, width = size_hw
    if height <= width:
        new_h, new_w = resize, int(resize * width / height)
    else:
        new_h, new_w = int(resize * height / width), resize
    offset = int(round((new_w - size) / 2)), int(round((new_h - size) / 2))
    return (new_w / width, new_h / height), offset


def study_wsol(classifier: StudyClassifier, images: StudyImages, root, last_stride: int | None = None,
               num_images: int | None = None, map_kind: str | None = None, seed: int = 0,
               say: Callable[[str], None] = print) -> Measured:
    """Localisation in percent.

    Args:
        images: the candidate's own test images, for its transform and classes.
        root: data, see :func:`read_boxed`; splits ``train`` (for a fitted head) and ``val``.
        last_stride: 1: the last stage does not stride; None: as trained.
        num_images: most images of each split, drawn by seed.
        map_kind: one of :data:`MAPS`; None: ``cam`` where it is defined, else ``gradcam++``.
    """
    if last_stride not in (None, 1):
        raise InputError(f"expected --last-stride 1 or none, got {last_stride}.")
    boxed, left_out = read_boxed(root, "val")
    boxed = _draw(boxed, num_images, seed)
    pixels = images_through([one.path for one in boxed], images.fit)
    head = linear_head(classifier.network)
    layer = _layer(classifier, head, pixels, map_kind)
    if last_stride == 1:
        if getattr(layer, "layout", "NCHW") != "NCHW":
            raise InputError(f"expected a convolutional last stage for --last-stride 1, got {layer.layout} at "
                             f"{layer.name}; leave it out for this network.")
        classifier = finer_last_stage(classifier, getattr(layer, "name", layer), pixels)
        layer = _layer(classifier, head, pixels, map_kind)
    names, weights, biases, fitted = _head(classifier, images, head, root, boxed, num_images, seed)
    labels = np.array([names.index(one.category) for one in boxed])
    right, ious = [], []
    for start in range(0, len(boxed), classifier.batch_size):
        part = slice(start, start + classifier.batch_size)
        maps, scores = _maps(classifier, pixels[part], layer, head, weights, biases, labels[part])
        right.append(scores.argmax(1) == labels[part])
        ious += [_ious(one, map_hw, images) for one, map_hw in zip(boxed[part], maps)]
        say(f"wsol: {min(start + classifier.batch_size, len(boxed))} of {len(boxed)} images")
    return _summed(np.array(ious), np.concatenate(right), seed, dict(
        map="CAM" if isinstance(layer, str) else f"Grad-CAM++ at {layer.name}",
        head="fitted on frozen features" if fitted else "the model's own", num_images=len(boxed),
        num_left_out=left_out, map_side=int(maps.shape[-1]), threshold=THRESHOLD))


def _layer(classifier: StudyClassifier, head: str, pixels: torch.Tensor, kind: str | None) -> str | GradientLayer:
    """Name of the layer whose mean is the head's input; where there is none or by wish, a layer for Grad-CAM++."""
    if kind not in (None, *MAPS):
        raise InputError(f"expected --map as one of {', '.join(MAPS)}, got {kind!r}.")
    probe = normalised(classifier, pixels[:2])
    if kind != "gradcam++":
        try:
            return mapped_layer(classifier.network, head, probe)
        except InputError:
            if kind == "cam":
                raise
    return gradient_layer(classifier.network, head, probe)


def _maps(classifier: StudyClassifier, pixels: torch.Tensor, layer: str | GradientLayer, head: str,
          weights: np.ndarray, biases: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((N, h, w) maps of the given classes, (N, C) scores)."""
    if not isinstance(layer, str):
        return gradient_maps(classifier, pixels, layer, head, weights, biases, labels)
    features = feature_maps(classifier, pixels, layer)[0].numpy()
    maps = np.stack([class_activation_map(image, weights[label]) for image, label in zip(features, labels)])
    return maps, features.mean((2, 3)) @ weights.T + biases


def _ious(one: BoxedImage, map_hw: np.ndarray, images: StudyImages) -> list[float]:
    """IoU of one image's box with its truth, at every threshold; the box goes back to the original image."""
    size = images.size_hw[0]
    scale, offset = crop_geometry(one.size_hw, getattr(images.fit, "resize", size), size)
    boxes = [map_box(map_hw, images.size_hw, threshold) for threshold in (THRESHOLD, *THRESHOLDS)]
    return [best_iou(moved_to_original(box, scale, offset, one.size_hw), one.boxes_xyxy) for box in boxes]


def _summed(ious: np.ndarray, right: np.ndarray, seed: int, notes: dict) -> Measured:
    """Numbers from IoUs (N, 1 + T), the first at the protocol's threshold."""
    boot, hit = Bootstrap(len(ious), seed), ious[:, 0] > IOU
    share = boot.means(THRESHOLDS, 100.0 * (ious[:, 1:] > IOU))
    return Measured({"top-1 localisation": boot.mean(100.0 * (hit & right)), "GT-known localisation": boot.mean(
        100.0 * hit), "top-1": boot.mean(100.0 * right),
        "MaxBoxAccV2": boot.of(lambda drawn: max_box_acc_v2(ious[drawn, 1:])), "mean IoU": boot.mean(100 * ious[:, 0])},
        {"GT-known localisation": Series(share.x, share.y, share.low, share.high)}, notes)


def _head(classifier, images: StudyImages, head: str, root, boxed, num_images, seed: int):
    """(category names, weights (C, D), biases (C,), whether they were fitted)."""
    if {one.category for one in boxed} <= set(images.classes):
        linear = classifier.network.get_submodule(head)
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().cpu()
        return list(images.classes), linear.weight.detach().cpu().numpy(), bias.numpy(), False
    train = _draw(read_boxed(root, "train")[0], num_images, seed)
    names = sorted({one.category for one in (*train, *boxed)})
    features = []
    for start in range(0, len(train), classifier.batch_size):
        part = images_through([one.path for one in train[start:start + classifier.batch_size]], images.fit)
        features.append(pooled_features(classifier, part, head))
    labels = np.array([names.index(one.category) for one in train])
    weights, biases = fit_linear(np.concatenate(features), labels, len(names))
    return names, weights, biases, True


def _draw(boxed: list, num: int | None, seed: int) -> list:
    if num is None or num >= len(boxed):
        return boxed
    return [boxed[place] for place in np.sort(np.random.default_rng(seed).permutation(len(boxed))[:num])]
