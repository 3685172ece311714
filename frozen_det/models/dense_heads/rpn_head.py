"""The authors' region proposal network: shared convolutions, a norm per level, and their loss normalisation.

Sources in tensorflow/models: official/vision/modeling/heads/dense_prediction_heads.py, losses/maskrcnn_losses.py,
ops/anchor.py, tasks/maskrcnn.py. mmdet's RPNHead has no norm, divides both losses by the sampled anchors and takes
the box loss on sampled anchors only; each of these is an option here.
"""

from collections.abc import Iterable

import torch
from mmdet.models.dense_heads import RPNHead as HostRPNHead
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.models.utils import multi_apply
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData

from ...errors import InputError
from ...registry import MODELS
from ..layers.conv_norm_act import AUTHORS_NORM, SWISH, build_conv
from ..layers.shared_tower import SharedTower

_AUTHORS_BOX_LOSS = dict(type="frozen_det.HuberLoss", delta=1.0 / 9.0)


@MODELS.register_module()
class RPNHead(HostRPNHead):
    """mmdet's RPNHead with the authors' shared tower and losses.

    Args:
        in_channels: channels of every pyramid map.
        num_convs: shared 3x3 convolutions (authors: 1; EfficientNet-B7 system: 2).
        norm_cfg, act_cfg: after every convolution; the norm is one per level. None for no norm.
        separable: depthwise-separable convolutions.
        score_anchors_per_image: divisor of the summed objectness loss, per image. None is the number
            of anchors sampled (mmdet). The authors' code passes the number of *regions* of the second stage here
            (512, though 256 anchors are sampled), so their objectness loss has half the weight that the configuration
            suggests; 512 reproduces that.
        box_loss: 'matched_per_level' (authors): on every anchor that matches an object, sampled or not, averaged
            over the 4 numbers per positive of each level, and summed over levels. 'sampled' (mmdet): on sampled
            positives, summed, divided by the number of sampled anchors.
        output_std: standard deviation of the two output layers' initial weights (tensorflow/models: 1e-5;
            tensorflow/tpu, the EfficientNet-B7 systems: 0.01).
        loss_bbox: authors: Huber of delta 1/9 without mmdet's division by beta.
        kwargs: as in mmdet's RPNHead (anchor_generator, bbox_coder, train_cfg, ...).

    Raises:
        InputError: an unknown box_loss, or score_anchors_per_image below 1.
    """

    def __init__(
        self,
        in_channels: int,
        num_convs: int = 1,
        norm_cfg: dict | None = AUTHORS_NORM,
        act_cfg: dict = SWISH,
        separable: bool = False,
        score_anchors_per_image: int | None = 512,
        box_loss: str = "matched_per_level",
        output_std: float = 1e-5,
        loss_bbox: dict = _AUTHORS_BOX_LOSS,
        init_cfg=None,
        **kwargs,
    ):
        if box_loss not in ("matched_per_level", "sampled"):
            raise InputError(
                f"expected box_loss 'matched_per_level' or 'sampled', got {box_loss!r}, in "
                "model.rpn_head of type frozen_det.RPNHead. Correct that key."
            )
        if score_anchors_per_image is not None and score_anchors_per_image < 1:
            raise InputError(
                f"expected score_anchors_per_image of 1 or more, or None, got {score_anchors_per_image}, "
                "in model.rpn_head of type frozen_det.RPNHead. Correct that key."
            )
        # Read by _init_layers, which the base class calls.
        self._layer_options = dict(norm_cfg=norm_cfg, act_cfg=act_cfg, separable=separable)
        self._output_std = output_std
        super().__init__(in_channels=in_channels, num_convs=num_convs, loss_bbox=loss_bbox, init_cfg=init_cfg, **kwargs)
        self.score_anchors_per_image, self.box_loss = score_anchors_per_image, box_loss

    def _init_layers(self) -> None:
        self.rpn_tower = SharedTower(
            self.in_channels, self.feat_channels, self.num_convs, self.prior_generator.num_levels, **self._layer_options
        )
        self.rpn_cls = build_conv(
            self.feat_channels, self.num_base_priors * self.cls_out_channels, 1, std=self._output_std
        )
        self.rpn_reg = build_conv(
            self.feat_channels, self.num_base_priors * self.bbox_coder.encode_size, 1, std=self._output_std
        )

    def forward(self, x: Iterable[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Objectness logits (N, A, H_l, W_l) and encoded boxes (N, 4A, H_l, W_l) per level."""
        x = list(x)  # mmdet's takes a generator too
        return multi_apply(self.forward_single, x, range(len(x)))

    def forward_single(self, x: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.rpn_tower(x, level)  # (N, C, H, W)
        return self.rpn_cls(x), self.rpn_reg(x)

    def _get_targets_single(
        self, flat_anchors, valid_flags, gt_instances, img_meta, gt_instances_ignore=None, unmap_outputs: bool = True
    ) -> tuple:
        """mmdet's targets of one image; with 'matched_per_level' all matched anchors have box targets.

        Returns labels (A,), label weights (A,), box targets (A, 4), box weights (A, 4), indices of sampled
        positives and negatives, and the sampling result, for A anchors of all levels.
        """
        if self.box_loss == "sampled":
            return super()._get_targets_single(
                flat_anchors, valid_flags, gt_instances, img_meta, gt_instances_ignore, unmap_outputs
            )
        border = self.train_cfg["allowed_border"]
        inside = anchor_inside_flags(flat_anchors, valid_flags, img_meta["img_shape"][:2], border)  # (A,)
        # With a border of -1 no anchor is outside but for padding: nothing to ask the GPU for.
        if border >= 0 and not inside.any():
            raise InputError(
                "expected an anchor inside the image, got none, in model.train_cfg.rpn.allowed_border. "
                "Set it to -1 (the authors' anchors may cross the border)."
            )
        # Anchors outside stay, without overlap and ignored: leaving them out would make sizes that the host waits for.
        anchors = get_box_tensor(flat_anchors)
        priors = InstanceData(priors=torch.where(inside[:, None], anchors, 0))
        assigned = self.assigner.assign(priors, gt_instances, gt_instances_ignore)
        assigned.gt_inds = torch.where(inside, assigned.gt_inds, -1)
        sampled = self.sampler.sample(assigned, priors, gt_instances)
        labels = assigned.gt_inds.new_full((len(anchors),), self.num_classes)
        label_weights = anchors.new_zeros(len(anchors))
        labels[sampled.pos_inds] = sampled.pos_gt_labels
        label_weights[sampled.pos_inds] = max(self.train_cfg["pos_weight"], 0) or 1.0
        label_weights[sampled.neg_inds] = 1.0
        weights = (assigned.gt_inds > 0).to(anchors)[:, None].expand(-1, 4)
        if len(gt_instances):
            objects = get_box_tensor(gt_instances.bboxes)[(assigned.gt_inds - 1).clamp_min(0)]
            # What an anchor without object would have is discarded; it may not be finite.
            targets = torch.where(weights > 0, self.bbox_coder.encode(anchors, objects), 0)
        else:
            targets = torch.zeros_like(anchors)
        return labels, label_weights, targets, weights, sampled.pos_inds, sampled.neg_inds, sampled

    def loss_by_feat_single(
        self, cls_score, bbox_pred, anchors, labels, label_weights, bbox_targets, bbox_weights, avg_factor: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Objectness and box loss of one level; shapes as in mmdet's AnchorHead.

        mmdet divides both by ``avg_factor``, the sampled anchors of the batch; another divisor is a factor on that.
        """
        score, box = super().loss_by_feat_single(
            cls_score, bbox_pred, anchors, labels, label_weights, bbox_targets, bbox_weights, avg_factor
        )
        if self.score_anchors_per_image is not None:
            score = score * (avg_factor / (self.score_anchors_per_image * len(labels)))
        if self.box_loss == "matched_per_level":
            box = box * (avg_factor / (bbox_weights.sum() + 0.01))  # 0.01 as in the authors' code
        return score, box
