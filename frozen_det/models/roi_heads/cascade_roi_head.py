"""The authors' cascade of box heads; every difference to mmdet's cascade is an option.

Sources in tensorflow/models, official/vision: modeling/maskrcnn_model.py, modeling/factory.py,
modeling/layers/{roi_sampler,mask_sampler}.py, tasks/maskrcnn.py. The options that differ (the authors' values are the
default, except for masks, where mmdet's are):

| option | authors | mmdet |
|---|---|---|
| ``iou_thresholds`` | 0.5, 0.7, 0.8 (EfficientNet-B7 system: 0.6, 0.7, 0.8) | 0.5, 0.6, 0.7 |
| ``box_stds`` | 1/10, 1/20, 1/30 of the unit (sides: twice that) | 0.1, 0.05, 0.033 |
| ``resample`` | False: later stages use every region of the first | True: 512 are sampled again |
| ``add_gt_later`` | False: ground truth boxes are added to the proposals of the first stage only | True |
| ``keep_gt_rois`` | True: added ground truth boxes stay in later stages | False: dropped after their stage |
| ``stage_loss_weights`` | 'mean': losses averaged over stages | (1, 0.5, 0.25) |
| ``test_average`` | 'logits' of all stages averaged | 'logits' |
| ``mask_stages`` | 'last': one mask head, on the last stage's regions | 'all': one per stage |
| ``max_mask_rois`` | 128 per image | None |

Regions are detached between stages and boxes come from the last stage in both.
"""

import copy
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from mmdet.models.roi_heads import CascadeRoIHead as HostCascadeRoIHead
from mmdet.models.test_time_augs import merge_aug_masks
from mmdet.models.utils import empty_instances, unpack_gt_instances
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from ...errors import InputError
from ...registry import MODELS

AUTHORS_IOU_THRESHOLDS = (0.5, 0.7, 0.8)
AUTHORS_BOX_STDS = tuple((1 / w, 1 / w, 2 / w, 2 / w) for w in (10, 20, 30))


@MODELS.register_module()
class CascadeRoIHead(HostCascadeRoIHead):
    """mmdet's cascade with the options in this module's table; state dict keys are mmdet's.

    Args:
        bbox_roi_extractor, mask_roi_extractor, mask_head, test_cfg: as in mmdet.
        bbox_head: heads that predict box deltas as one tensor. One config is used for every stage with its
            ``box_stds``; a list has one per stage and is not changed.
        num_stages: number of heads in the cascade.
        iou_thresholds: per stage, IoU from which a region is positive. None: the authors' three.
        box_stds: per stage, four standard deviations that box targets (dx, dy, dw, dh) are divided by. None: the
            authors' three.
        stage_loss_weights: 'mean', or one weight per stage.
        resample, add_gt_later, keep_gt_rois: see the table.
        test_average: 'logits' or 'scores' averaged over stages, or 'last': the last stage alone.
        mask_stages: 'all' or 'last'.
        max_mask_rois: number of positive regions per image, from the first, that train a mask (authors: 128), or None.
        train_cfg: one config (assigner, sampler, ...), used for every stage with its IoU threshold and, if later stages
            use all regions, without a sampler; a lower ``neg_iou_thr`` applies to the first stage (the EfficientNet-B7
            system: 0.5, regions between are ignored). Or a list, one per stage, not changed.

    Raises:
        InputError: an unknown value, a length other than num_stages, or an option that contradicts a list.
    """

    def __init__(
        self,
        bbox_roi_extractor,
        bbox_head,
        num_stages: int = 3,
        iou_thresholds: Sequence[float] | None = None,
        box_stds: Sequence[Sequence[float]] | None = None,
        stage_loss_weights: str | Sequence[float] = "mean",
        resample: bool = False,
        add_gt_later: bool = False,
        keep_gt_rois: bool = True,
        test_average: str = "logits",
        mask_stages: str = "all",
        max_mask_rois: int | None = None,
        mask_roi_extractor=None,
        mask_head=None,
        train_cfg=None,
        test_cfg=None,
        init_cfg=None,
        shared_head=None,
    ):
        self.keep_gt_rois, self.test_average = keep_gt_rois, test_average
        self.mask_stages, self.max_mask_rois = mask_stages, max_mask_rois
        _require(
            test_average in ("logits", "scores", "last"), "test_average 'logits', 'scores' or 'last'", test_average
        )
        _require(mask_stages in ("all", "last"), "mask_stages 'all' or 'last'", mask_stages)
        if isinstance(stage_loss_weights, str):
            _require(
                stage_loss_weights == "mean", "stage_loss_weights 'mean' or one number per stage", stage_loss_weights
            )
            stage_loss_weights = [1.0 / num_stages] * num_stages
        _require(len(stage_loss_weights) == num_stages, f"{num_stages} stage_loss_weights", stage_loss_weights)
        super().__init__(
            num_stages=num_stages,
            stage_loss_weights=list(stage_loss_weights),
            bbox_roi_extractor=bbox_roi_extractor,
            bbox_head=stage_heads(bbox_head, box_stds, num_stages),
            mask_roi_extractor=mask_roi_extractor,
            mask_head=mask_head,
            shared_head=shared_head,
            init_cfg=init_cfg,
            test_cfg=test_cfg,
            train_cfg=stage_train_cfgs(train_cfg, iou_thresholds, resample, add_gt_later, num_stages),
        )
        if test_average == "scores" and any(getattr(h, "custom_activation", False) for h in self.bbox_head):
            raise InputError(
                "expected test_average 'logits' or 'last' with a loss that has its own activation, got "
                "'scores', in model.roi_head. Change test_average."
            )

    def init_mask_head(self, mask_roi_extractor, mask_head) -> None:
        """mmdet's; with mask_stages 'last' a single mask head and extractor are built."""
        if self.mask_stages == "all":
            super().init_mask_head(mask_roi_extractor, mask_head)
            return
        _require(not isinstance(mask_head, (list, tuple)), "one mask_head with mask_stages='last'", mask_head)
        stages, self.num_stages = self.num_stages, 1
        super().init_mask_head(mask_roi_extractor, mask_head)
        self.num_stages = stages
        if self.share_roi_extractor:
            self.mask_roi_extractor = nn.ModuleList([self.bbox_roi_extractor[-1]])

    def loss(self, x, rpn_results_list, batch_data_samples) -> dict:
        """Losses of all stages, named ``s{stage}.loss_...``.

        Args:
            x: pyramid maps, each (N, C, H_l, W_l).
            rpn_results_list: per image proposals with ``bboxes`` (P, 4), xyxy in pixels of the padded input.
            batch_data_samples: DetDataSample per image, with ground truth.
        """
        gt_list, ignored_list, metas = unpack_gt_instances(batch_data_samples)
        losses = {}
        proposals = rpn_results_list
        for stage in range(self.num_stages):
            self.current_stage = stage
            samples = [self._sample(stage, i, proposals[i], gt_list[i], ignored_list[i], x) for i in range(len(metas))]
            results = self.bbox_loss(stage, x, samples)
            # Without regions mmdet has no classification loss; the layer is to have a gradient on every process.
            results["loss_bbox"].setdefault("loss_cls", results["cls_score"].sum())
            self._add(losses, stage, results["loss_bbox"], self.stage_loss_weights[stage])
            if self.with_mask and (self.mask_stages == "all" or stage == self.num_stages - 1):
                mask = self.mask_loss(stage, x, self._mask_samples(samples), gt_list)["loss_mask"]
                weight = self.stage_loss_weights[stage] if self.mask_stages == "all" else 1.0
                self._add(losses, stage, mask, weight)
            if stage < self.num_stages - 1:
                proposals = self._refined(stage, samples, results, metas)
        return losses

    def _sample(self, stage: int, index: int, proposals, gt, ignored, x):
        """The sampled regions of one image that stage ``stage`` trains on, with their assignment."""
        proposals.priors = proposals.pop("bboxes")
        assigned = self.bbox_assigner[stage].assign(proposals, gt, ignored)
        return self.bbox_sampler[stage].sample(assigned, proposals, gt, feats=[m[index][None] for m in x])

    @staticmethod
    def _add(losses: dict, stage: int, named: dict, weight: float) -> None:
        for name, value in named.items():
            losses[f"s{stage}.{name}"] = value * weight if "loss" in name else value

    @torch.no_grad()
    def _refined(self, stage: int, samples, results: dict, metas):
        """The regions of the next stage, detached; of a batch without regions, none for each image."""
        if self.keep_gt_rois:
            # mmdet drops a region that came from the ground truth by this flag.
            kept = [SimpleNamespace(pos_is_gt=torch.zeros_like(s.pos_is_gt)) for s in samples]
        else:
            kept = samples
        refined = self.bbox_head[stage].refine_bboxes(kept, results, metas)
        # The later heads run all the same: a process whose batch has no region takes part in their gradients.
        return [InstanceData(bboxes=s.priors[:0]) for s in samples] if refined is None else refined

    def _mask_samples(self, samples):
        """The samples, cut to the first ``max_mask_rois`` positives of every image."""
        if self.max_mask_rois is None:
            return samples
        names = ("pos_priors", "pos_assigned_gt_inds", "pos_gt_labels", "pos_gt_bboxes")
        return [SimpleNamespace(**{n: getattr(s, n)[: self.max_mask_rois] for n in names}) for s in samples]

    def _mask_forward(self, stage: int, x, rois) -> dict:
        index = stage if self.mask_stages == "all" else 0
        extractor = self.mask_roi_extractor[index]
        return dict(mask_preds=self.mask_head[index](extractor(x[: extractor.num_inputs], rois)))

    def mask_loss(self, stage: int, x, sampling_results, batch_gt_instances) -> dict:
        """Mask loss of a stage as in mmdet, with the single mask head if ``mask_stages`` is 'last'."""
        results = self._mask_forward(stage, x, bbox2roi([s.pos_priors for s in sampling_results]))
        head = self.mask_head[stage if self.mask_stages == "all" else 0]
        results.update(
            head.loss_and_target(
                mask_preds=results["mask_preds"],
                sampling_results=sampling_results,
                batch_gt_instances=batch_gt_instances,
                rcnn_train_cfg=self.train_cfg[stage],
            )
        )
        return results

    def _refine_roi(self, x, rois, batch_img_metas, num_proposals_per_img: Sequence[int], **kwargs) -> tuple:
        """Regions, class logits and encoded boxes per image after all stages; boxes are the last stage's.

        Args:
            x: pyramid maps, each (N, C, H_l, W_l).
            rois: (R, 5), image index and box.
            batch_img_metas: one per image.
            num_proposals_per_img: R split over the images.
        """
        all_logits = []
        for stage in range(self.num_stages):
            results = self._bbox_forward(stage=stage, x=x, rois=rois, **kwargs)
            split_rois, logits, deltas = (
                t.split(tuple(num_proposals_per_img), 0) for t in (rois, results["cls_score"], results["bbox_pred"])
            )
            all_logits.append(logits)
            if stage < self.num_stages - 1:
                rois = torch.cat(
                    [self._moved(stage, *parts) for parts in zip(split_rois, logits, deltas, batch_img_metas)]
                )
        merged = [average_stages(list(per_stage), self.test_average) for per_stage in zip(*all_logits)]
        return split_rois, merged, deltas

    def _moved(self, stage: int, rois, logits, deltas, meta):
        """(R, 5) regions of one image moved by their predicted boxes."""
        if not len(rois):
            return rois
        head = self.bbox_head[stage]
        if head.custom_activation:
            logits = head.loss_cls.get_activation(logits)
        boxes = head.regress_by_class(rois[:, 1:], logits[:, :-1].argmax(dim=1), deltas, meta)
        return torch.cat([rois[:, :1], get_box_tensor(boxes)], dim=1)

    def predict_mask(self, x, batch_img_metas, results_list, rescale: bool = False):
        """Masks of the detections as in mmdet, averaged over the mask heads."""
        rois = bbox2roi([r.bboxes for r in results_list])
        if not len(rois):
            return empty_instances(
                batch_img_metas,
                rois.device,
                task_type="mask",
                instance_results=results_list,
                mask_thr_binary=self.test_cfg.mask_thr_binary,
            )
        masks = self._averaged_masks(x, rois, [len(r) for r in results_list], batch_img_metas)
        return self.mask_head[-1].predict_by_feat(
            mask_preds=masks,
            results_list=results_list,
            batch_img_metas=batch_img_metas,
            rcnn_test_cfg=self.test_cfg,
            rescale=rescale,
            activate_map=True,
        )

    def _averaged_masks(self, x, rois, counts, metas) -> list:
        """Per image (K, classes, h, w) mask probabilities, the mean over mask heads."""
        per_head = [
            [m.sigmoid().detach() for m in self._mask_forward(i, x, rois)["mask_preds"].split(counts, 0)]
            for i in range(len(self.mask_head))
        ]
        return [merge_aug_masks([masks[i] for masks in per_head], meta) for i, meta in enumerate(metas)]

    def forward(self, x, rpn_results_list, batch_data_samples) -> tuple:
        """Raw outputs (mode 'tensor'): class logits and boxes per image, and mask probabilities if there are masks."""
        metas = [sample.metainfo for sample in batch_data_samples]
        proposals = [r.bboxes for r in rpn_results_list]
        counts = [len(p) for p in proposals]
        rois, logits, deltas = self._refine_roi(x, bbox2roi(proposals), metas, counts)
        if not self.with_mask:
            return logits, deltas
        return logits, deltas, self._averaged_masks(x, torch.cat(rois), counts, metas)


def stage_heads(bbox_head, box_stds, num_stages: int) -> list:
    """One head config per stage: a list unchanged, a single one with the ``box_stds`` of each stage."""
    if isinstance(bbox_head, (list, tuple)):
        _require(box_stds is None, "no box_stds beside a list of bbox_head", box_stds)
        _require(len(bbox_head) == num_stages, f"{num_stages} entries in bbox_head", len(bbox_head))
        return list(bbox_head)
    stds = AUTHORS_BOX_STDS if box_stds is None else box_stds
    _require(len(stds) == num_stages, f"{num_stages} rows of box_stds", stds)
    heads = [copy.deepcopy(dict(bbox_head)) for _ in range(num_stages)]
    for head, std in zip(heads, stds):
        default = dict(type="mmdet.DeltaXYWHBBoxCoder", target_means=[0.0] * 4)
        head["bbox_coder"] = {**default, **(head.get("bbox_coder") or {}), "target_stds": list(std)}
    return heads


def stage_train_cfgs(train_cfg, iou_thresholds, resample: bool, add_gt_later: bool, num_stages: int):
    """One training config per stage: a list unchanged, else with the IoU threshold and sampler of each stage."""
    if train_cfg is None:
        return None
    if isinstance(train_cfg, (list, tuple)):
        _require(iou_thresholds is None, "no iou_thresholds beside a list of train_cfg.rcnn", iou_thresholds)
        _require(len(train_cfg) == num_stages, f"{num_stages} entries in train_cfg.rcnn", len(train_cfg))
        return train_cfg
    thresholds = AUTHORS_IOU_THRESHOLDS if iou_thresholds is None else iou_thresholds
    _require(len(thresholds) == num_stages, f"{num_stages} iou_thresholds", thresholds)
    stages = [ConfigDict(copy.deepcopy(dict(train_cfg))) for _ in thresholds]
    for stage, (cfg, iou) in enumerate(zip(stages, thresholds)):
        negative = iou if stage else min(cfg.assigner.get("neg_iou_thr", iou), iou)
        cfg.assigner.update(pos_iou_thr=iou, neg_iou_thr=negative, min_pos_iou=iou)
        cfg.assigner.setdefault("match_low_quality", False)
        if stage and resample:
            cfg.sampler.add_gt_as_proposals = add_gt_later
        elif stage:
            _require(not add_gt_later, "resample=True with add_gt_later=True", "resample=False")
            cfg.sampler = dict(type="mmdet.PseudoSampler")
    return stages


def average_stages(per_stage: list[torch.Tensor], how: str) -> torch.Tensor:
    """(R, classes) logits of all stages merged into logits whose softmax is the wanted score."""
    if how == "last":
        return per_stage[-1]
    if how == "logits":
        return sum(per_stage) / float(len(per_stage))
    # softmax(log p) is p: predict_by_feat applies the softmax.
    return (sum(logits.softmax(-1) for logits in per_stage) / len(per_stage)).clamp_min(1e-30).log()


def _require(fits: bool, expected: str, got) -> None:
    if not fits:
        raise InputError(
            f"expected {expected}, got {got!r}, in model.roi_head of type frozen_det.CascadeRoIHead. Correct that key."
        )
