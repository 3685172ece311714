"""Synthetic images with all that a detector of mmdet may need in training: boxes, masks, a semantic map, proposals.

Images and objects are fixed by a seed and carry no meaning. A detector that learns from unlabelled images beside
labelled ones gets the same images in each of its branches.
"""

import copy

import numpy as np
import torch

# mmdet's default of semantic maps: a cell of no class.
_IGNORED = 255


def synthetic_batch(
    size: int,
    num_classes: int,
    semantic_scale: float = 1.0,
    images: int = 2,
    seed: int = 0,
    with_masks: bool = True,
    objects: int = 4,
) -> dict:
    """A batch as a data loader gives it.

    Args:
        size: height and width in px.
        num_classes: labels are below it; those of the semantic map as well.
        semantic_scale: size of the semantic map relative to the image.
        images: how many.
        seed: of images and objects.
        with_masks: whether objects have masks.
        objects: in each image.

    Returns:
        ``inputs``: uint8 tensors (3, size, size); ``data_samples``: mmdet's samples.
    """
    drawn = np.random.default_rng(seed)
    pictures = [torch.from_numpy(drawn.integers(0, 256, (3, size, size), dtype=np.uint8)) for _ in range(images)]
    samples = [_sample(drawn, size, num_classes, semantic_scale, objects, i) for i in range(images)]
    for sample in samples if not with_masks else ():
        del sample.gt_instances.masks, sample.ignored_instances.masks
    return dict(inputs=pictures, data_samples=samples)


def in_branches(batch: dict, branches=("sup", "unsup_teacher", "unsup_student")) -> dict:
    """The same batch for every branch of a semi-supervised detector."""
    return {key: {branch: copy.deepcopy(value) for branch in branches} for key, value in batch.items()}


def _sample(drawn, size: int, num_classes: int, semantic_scale: float, objects: int, number: int):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    corners = drawn.uniform(0, 0.5, (objects, 2)) * size
    sides = drawn.uniform(0.2, 0.5, (objects, 2)) * size
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int)):
        mask[top:bottom, left:right] = 1
    labels = torch.arange(len(boxes)) % num_classes
    cells = int(size * semantic_scale)
    semantic = torch.full((1, cells, cells), _IGNORED, dtype=torch.long)
    semantic[:, : cells // 2] = 0
    sample = DetDataSample(
        metainfo=dict(
            img_id=number,
            img_path="",
            border=(0, size, 0, size),
            img_shape=(size, size),
            ori_shape=(size, size),
            pad_shape=(size, size),
            batch_input_shape=(size, size),
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
            homography_matrix=np.eye(3, dtype=np.float32),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes), labels=labels, masks=BitmapMasks(masks, size, size)
    )
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long), masks=BitmapMasks(masks[:0], size, size)
    )
    sample.proposals = InstanceData(bboxes=torch.from_numpy(boxes.copy()), scores=torch.ones(len(boxes)))
    sample.gt_sem_seg = PixelData(sem_seg=semantic)
    return sample
