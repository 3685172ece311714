"""A small batch for heads: pyramid maps, proposals and ground truth, drawn from a seed."""

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

SIZE = 128
STRIDES = (8, 16, 32)


def boxes_xyxy(count, generator, least=12.0):
    """(count, 4) boxes inside the image, sides of ``least`` pixels or more."""
    wh = least + torch.rand(count, 2, generator=generator) * 60
    xy = torch.rand(count, 2, generator=generator) * (SIZE - wh)
    return torch.cat([xy, xy + wh], 1)


def scene(num_objects=(3, 2), num_proposals=30, channels=8, num_classes=3, seed=0, dtype=torch.float32):
    """(maps, proposals, samples): per image proposals scattered around the objects and at random."""
    g = torch.Generator().manual_seed(seed)
    batch = len(num_objects)
    maps = tuple(torch.randn(batch, channels, SIZE // s, SIZE // s, generator=g).to(dtype) for s in STRIDES)
    proposals, samples = [], []
    for count in num_objects:
        gt = boxes_xyxy(count, g)
        near = gt.repeat(6, 1) + torch.randn(6 * count, 4, generator=g) * 4
        boxes = torch.cat([near, boxes_xyxy(num_proposals - len(near), g)]).clamp(0, SIZE).to(dtype)
        proposals.append(InstanceData(bboxes=boxes, scores=torch.rand(len(boxes), generator=g).to(dtype)))
        masks = (torch.rand(count, SIZE, SIZE, generator=g) > 0.5).numpy().astype("uint8")
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(SIZE, SIZE),
                ori_shape=(SIZE, SIZE),
                pad_shape=(SIZE, SIZE),
                batch_input_shape=(SIZE, SIZE),
                scale_factor=(1.0, 1.0),
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=gt.to(dtype),
            labels=torch.randint(num_classes, (count,), generator=g),
            masks=BitmapMasks(masks, SIZE, SIZE),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4, dtype=dtype))
        samples.append(sample)
    return maps, proposals, samples


def roi_extractor(size=7, finest_scale=28):
    return dict(
        type="mmdet.SingleRoIExtractor",
        roi_layer=dict(type="RoIAlign", output_size=size, sampling_ratio=1),
        out_channels=8,
        featmap_strides=list(STRIDES),
        finest_scale=finest_scale,
    )


def rcnn_train_cfg(iou, num=24, add_gt=True, **assigner):
    return dict(
        assigner=dict(
            type="mmdet.MaxIoUAssigner",
            pos_iou_thr=iou,
            neg_iou_thr=iou,
            min_pos_iou=iou,
            ignore_iof_thr=-1,
            **assigner,
        ),
        sampler=dict(type="mmdet.RandomSampler", num=num, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=add_gt),
        pos_weight=-1,
        mask_size=28,
        debug=False,
    )


TEST_CFG = dict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=20, mask_thr_binary=0.5)
