"""The authors' RetinaNet head: towers shared by all levels with a norm per level, and their loss normalisation.

Sources in tensorflow/models: official/vision/modeling/heads/dense_prediction_heads.py, tasks/retinanet.py,
configs/retinanet.py. Their losses in mmdet's terms: FocalLoss(alpha=0.25, gamma=1.5) over positives + 1, and
HuberLoss(delta=0.1) with weight 50 / 4 over positives + 1 (they average the 4 numbers of a box, mmdet sums them).
"""

import math
from collections.abc import Iterable

import torch
from mmdet.models.dense_heads import RetinaHead as HostRetinaHead
from mmdet.models.utils import multi_apply
from torch import nn

from ...registry import MODELS
from ..layers.conv_norm_act import RELU, build_conv
from ..layers.shared_tower import SharedTower

_AUTHORS_NORM = dict(type="BN", eps=1e-3, momentum=0.01)
_AUTHORS_SCORE_LOSS = dict(type="mmdet.FocalLoss", use_sigmoid=True, alpha=0.25, gamma=1.5)
_AUTHORS_BOX_LOSS = dict(type="frozen_det.HuberLoss", delta=0.1, loss_weight=50.0 / 4)


@MODELS.register_module()
class RetinaHead(HostRetinaHead):
    """mmdet's RetinaHead with the authors' towers, losses and initial weights.

    Args:
        num_classes: object classes.
        in_channels: channels of every pyramid map.
        stacked_convs: number of convolutions in each of the two towers.
        norm_cfg, act_cfg: after every convolution; the norm is one per level. The authors' RetinaNet keeps eps 1e-3
            and momentum 0.99 (0.01 here) and ReLU.
        separable: depthwise-separable convolutions.
        extra_positives: added to the number of positives that losses are divided by (authors: 1, mmdet: 0).
        prior_prob: initial score of every anchor.
        kwargs: as in mmdet's RetinaHead.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stacked_convs: int = 4,
        norm_cfg: dict | None = _AUTHORS_NORM,
        act_cfg: dict = RELU,
        separable: bool = False,
        extra_positives: float = 1.0,
        prior_prob: float = 0.01,
        loss_cls: dict = _AUTHORS_SCORE_LOSS,
        loss_bbox: dict = _AUTHORS_BOX_LOSS,
        init_cfg=None,
        **kwargs,
    ):
        # Read by _init_layers, which the base class calls.
        self._layer_options = dict(norm_cfg=norm_cfg, act_cfg=act_cfg, separable=separable)
        self._prior_prob = prior_prob
        super().__init__(
            num_classes,
            in_channels,
            stacked_convs=stacked_convs,
            norm_cfg=norm_cfg,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.extra_positives = extra_positives

    def _init_layers(self) -> None:
        towers = (
            SharedTower(
                self.in_channels,
                self.feat_channels,
                self.stacked_convs,
                self.prior_generator.num_levels,
                **self._layer_options,
            )
            for _ in range(2)
        )
        self.cls_tower, self.reg_tower = towers
        channels = self.feat_channels if self.stacked_convs else self.in_channels
        self.retina_cls = build_conv(channels, self.num_base_priors * self.cls_out_channels, 3, std=1e-5)
        self.retina_reg = build_conv(channels, self.num_base_priors * self.bbox_coder.encode_size, 3, std=1e-5)
        nn.init.constant_(self.retina_cls.bias, -math.log((1 - self._prior_prob) / self._prior_prob))

    def forward(self, x: Iterable[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Class logits (N, A * num_classes, H_l, W_l) and encoded boxes (N, 4A, H_l, W_l) per level."""
        x = list(x)  # mmdet's takes a generator too
        return multi_apply(self.forward_single, x, range(len(x)))

    def forward_single(self, x: torch.Tensor, level: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.retina_cls(self.cls_tower(x, level)), self.retina_reg(self.reg_tower(x, level))

    def loss_by_feat_single(
        self, cls_score, bbox_pred, anchors, labels, label_weights, bbox_targets, bbox_weights, avg_factor: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """mmdet's two losses of one level, divided by the positives of the batch + ``extra_positives``."""
        return super().loss_by_feat_single(
            cls_score,
            bbox_pred,
            anchors,
            labels,
            label_weights,
            bbox_targets,
            bbox_weights,
            avg_factor + self.extra_positives,
        )
