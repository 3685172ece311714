"""The features of annotated objects in a frozen backbone: one pass over the images, RoIAlign of every object's box.

An object's feature is the average of its box in the maps of all strides, one behind another, so that a linear model of
it sees what a pyramid would pass to the decoder, whichever level suits the box. Every stride's part is divided by its
own root mean square over the objects: otherwise scores that share one prior variance would hear the loudest map alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from ..errors import InputError

# Cells of RoIAlign, one sample in each: the average of so many points squared.
_CELLS = 7


@dataclass(frozen=True)
class ObjectFeatures:
    """Objects of some images, in the order of the images.

    Attributes:
        features: (N, D) float32, D the sum of the backbone's channels over its strides.
        labels: (N,) int64, as the data set counts its classes.
        boxes_xyxy: (N, 4) float32 px of the image as the network sees it.
        sizes_hw: (N, 2) int64 height and width of that image, without padding.
        images: (N,) int64 index of the image in the data set.
    """

    features: np.ndarray
    labels: np.ndarray
    boxes_xyxy: np.ndarray
    sizes_hw: np.ndarray
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def of_images(self, images: np.ndarray) -> "ObjectFeatures":
        """The objects of some images, by their indices in the data set."""
        kept = np.isin(self.images, images)
        return ObjectFeatures(*(value[kept] for value in vars(self).values()))


def object_features(
    backbone,
    dataset,
    indices: Sequence[int] | None = None,
    batch_size: int = 4,
    store=None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ObjectFeatures:
    """Run a backbone over the images of a detection data set, and take every object's feature.

    Images without an object, crowds and objects marked to be ignored count for nothing. Results are held as they come:
    the maps of one batch and one row for each object.

    Args:
        backbone: a :class:`frozen_det.FrozenBackbone`, loaded.
        dataset: as :class:`frozen_det.CocoDataset`; samples of its pipeline have ``inputs`` (3, H, W) uint8, blue
            first, and ``data_samples`` with boxes, as of PackDetInputs. Without random transforms, or it is one draw.
        indices: of the images to see; None for all.
        batch_size: images in a forward pass; padded to a common size.
        store: a :class:`frozen_det.weights.feature_store.FeatureStore` to read maps from and write them to, or None;
            the backbone keeps it.
        progress: called with the images seen and to be seen after every batch.

    Raises:
        InputError: no object in these images, or weights whose input is not known.
    """
    if store is not None:
        from ..models.backbones.stored_features import read_features_from

        read_features_from(backbone, store)
    device = next(backbone.parameters()).device
    prepare = preprocessor_of(backbone).to(device)
    backbone.eval()
    order = list(range(len(dataset)) if indices is None else indices)
    parts: list[tuple] = []
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        with torch.no_grad():
            batch = prepare(pseudo_collate([dataset[place] for place in places]))
            samples = batch["data_samples"]
            boxes = [torch.as_tensor(_tensor(sample.gt_instances.bboxes)).float() for sample in samples]
            if sum(map(len, boxes)):
                pooled = box_means(backbone(batch["inputs"]), backbone.strides, boxes).cpu().numpy()
                parts.append((pooled, *_facts(places, samples, boxes)))
        progress(start + len(places), len(order))
    if not parts:
        raise InputError(f"expected at least one object in {len(order)} images, got none: annotate them, or see more.")
    found = ObjectFeatures(*map(np.concatenate, zip(*parts, strict=True)))
    return replace(found, features=balanced(found.features, backbone.channels))


def training_set(data: str, size: int):
    """The training split as a detector sees it without augmentation: resized into a square, boxes with it."""
    from ..datasets.coco import CocoDataset

    pipeline = [
        dict(type="mmdet.LoadImageFromFile"),
        dict(type="mmdet.LoadAnnotations", with_bbox=True),
        dict(type="mmdet.Resize", scale=(size, size), keep_ratio=True),
        dict(type="mmdet.PackDetInputs"),
    ]
    return CocoDataset(data_root=data, split="train", filter_cfg=dict(filter_empty_gt=True), pipeline=pipeline)


def box_means(features: Sequence[Tensor], strides: Sequence[int], boxes: Sequence[Tensor]) -> Tensor:
    """The average of each box in every map, one map behind another.

    Args:
        features: (B, C_i, H_i, W_i) by stride.
        strides: in px.
        boxes: one (n, 4) xyxy in px for each image.

    Returns:
        (N, sum of C_i) float32, N the boxes of all images in order.
    """
    from torchvision.ops import roi_align

    rois = [one.to(features[0].device) for one in boxes]
    return torch.cat(
        [
            roi_align(one.float(), rois, _CELLS, 1 / stride, sampling_ratio=1, aligned=True).mean((2, 3))
            for one, stride in zip(features, strides, strict=True)
        ],
        dim=1,
    )


def balanced(features: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Features whose parts have a root mean square of 1 each; a part that is 0 stays.

    Args:
        features: (N, D).
        channels: widths of the parts, D together.
    """
    parts = np.split(features, np.cumsum(channels)[:-1], axis=1)
    scales = [float(np.sqrt(np.square(part, dtype=np.float64).mean())) for part in parts]
    return np.concatenate([part / np.float32(scale or 1.0) for part, scale in zip(parts, scales)], axis=1)


def preprocessor_of(backbone):
    """mmdet's preprocessor for the input that the backbone's weights expect, for images with blue first.

    Raises:
        InputError: their card does not say.
    """
    from mmdet.models import DetDataPreprocessor

    card = backbone.describe_weights()
    if card.mean is None or card.std is None:
        raise InputError(
            f"expected a card that states mean and std of the weights of {card.architecture}, got none: the features "
            "of another input would say nothing. Give weights of a library, or a file with a card."
        )
    return DetDataPreprocessor(
        mean=list(card.mean), std=list(card.std), bgr_to_rgb=card.channel_order != "bgr", pad_size_divisor=32
    )


def _facts(places: Sequence[int], samples, boxes: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """Labels, boxes, sizes and images of the objects of a batch."""
    counts = [len(one) for one in boxes]
    labels = torch.cat([torch.as_tensor(sample.gt_instances.labels) for sample in samples]).cpu().numpy()
    sizes = np.array([sample.img_shape[:2] for sample in samples], np.int64)
    return (
        labels.astype(np.int64),
        torch.cat(list(boxes)).cpu().numpy(),
        np.repeat(sizes, counts, axis=0),
        np.repeat(np.array(places, np.int64), counts),
    )


def _tensor(boxes) -> Tensor:
    return getattr(boxes, "tensor", boxes)
