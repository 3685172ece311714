"""The authors' box head: norm and activation after every convolution and every linear layer.

Source: official/vision/modeling/heads/instance_heads.py and losses/maskrcnn_losses.py of tensorflow/models. Differences
to mmdet's ConvFCBBoxHead: linear layers have a norm, the activation is configurable, layers before a norm keep their
bias, and the box loss is divided by the number of summed terms (4 per positive region) instead of all sampled
regions, which gives boxes more weight. Each is an option; ``norm_cfg=None, act_cfg=dict(type='ReLU'),
box_loss_divisor='sampled'`` is mmdet's head.
"""

import torch
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead as HostConvFCBBoxHead
from torch import nn

from ...errors import InputError
from ...registry import MODELS
from ..layers.best_candidates import predict_from_the_best
from ..layers.checkpointing import run_keeping_convolutions_only
from ..layers.conv_norm_act import AUTHORS_NORM, SWISH, ConvNormAct, LinearNormAct


@MODELS.register_module()
class ConvFCBBoxHead(HostConvFCBBoxHead):
    """mmdet's head with the authors' layers and defaults: 4 convolutions, 2 linear layers, class-agnostic boxes.

    Args:
        num_shared_convs, num_shared_fcs, conv_out_channels, fc_out_channels, ...: as in mmdet's ConvFCBBoxHead.
        norm_cfg: after every convolution and linear layer; None for no norm.
        act_cfg: after every norm.
        separable: depthwise-separable convolutions.
        box_loss_divisor: 'positives' divides the summed box loss by 4 x positives + 0.01 (authors), 'sampled' by
            the number of sampled regions (mmdet).
        fc_init: initial weights of the hidden linear layers. 'fan_out' (tensorflow/models) is Keras'
            VarianceScaling(1/3, 'fan_out', 'uniform'), 'glorot' (tensorflow/tpu, the EfficientNet-B7 systems) uniform
            within sqrt(6 / (inputs + outputs)).
        with_checkpoint: keep only the shared convolutions' outputs for backward and recompute norms and activations:
            a third of the activation memory of this head; no convolution runs twice.
        reg_class_agnostic: one box per region (the authors' cascade) or one per class.
        init_cfg: mmengine's; None keeps the authors' initial weights.

    ``num_classes`` counts objects only; the layer has one output more, for background. The authors' COCO models have
    91 in all (COCO's highest id is 90), which is num_classes=90 here and reproduces the paper's 71.3 M trainable
    parameters; the usual 80 classes give 71.24 M.

    Raises:
        InputError: an unknown box_loss_divisor or fc_init.
    """

    def __init__(
        self,
        num_shared_convs: int = 4,
        num_shared_fcs: int = 2,
        norm_cfg: dict | None = AUTHORS_NORM,
        act_cfg: dict = SWISH,
        separable: bool = False,
        box_loss_divisor: str = "positives",
        reg_class_agnostic: bool = True,
        fc_init: str = "fan_out",
        with_checkpoint: bool = False,
        init_cfg=None,
        **kwargs,
    ):
        if box_loss_divisor not in ("positives", "sampled"):
            raise InputError(
                f"expected box_loss_divisor 'positives' or 'sampled', got {box_loss_divisor!r}, in "
                "model.roi_head.bbox_head of type frozen_det.ConvFCBBoxHead. Correct that key."
            )
        if fc_init not in ("fan_out", "glorot"):
            raise InputError(
                f"expected fc_init 'fan_out' or 'glorot', got {fc_init!r}, in model.roi_head.bbox_head of "
                "type frozen_det.ConvFCBBoxHead. Correct that key."
            )
        # Read by _add_conv_fc_branch, which the base class calls before its own __init__ is over.
        self._layer_options = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self._separable = separable
        super().__init__(
            num_shared_convs=num_shared_convs,
            num_shared_fcs=num_shared_fcs,
            norm_cfg=norm_cfg,
            reg_class_agnostic=reg_class_agnostic,
            init_cfg=init_cfg,
            **kwargs,
        )
        self.box_loss_divisor, self.with_checkpoint = box_loss_divisor, with_checkpoint
        del self.relu  # every layer has its own activation
        self.init_cfg = init_cfg
        self._set_initial_weights(fc_init)
        predict_from_the_best(self)

    def _add_conv_fc_branch(
        self, num_branch_convs: int, num_branch_fcs: int, in_channels: int, is_shared: bool = False
    ) -> tuple:
        width = in_channels
        convs, fcs = nn.ModuleList(), nn.ModuleList()
        for _ in range(num_branch_convs):
            convs.append(
                ConvNormAct(width, self.conv_out_channels, 3, separable=self._separable, **self._layer_options)
            )
            width = self.conv_out_channels
        if num_branch_fcs and (is_shared or self.num_shared_fcs == 0) and not self.with_avg_pool:
            width *= self.roi_feat_area
        for _ in range(num_branch_fcs):
            fcs.append(LinearNormAct(width, self.fc_out_channels, **self._layer_options))
            width = self.fc_out_channels
        return convs, fcs, width

    def _set_initial_weights(self, fc_init: str) -> None:
        """``fc_init`` for hidden layers, small normals for the two outputs."""
        for fc in (m for m in self.modules() if isinstance(m, LinearNormAct)):
            limit = fc.out_features**-0.5
            if fc_init == "glorot":
                limit = (6.0 / (fc.in_features + fc.out_features)) ** 0.5
            nn.init.uniform_(fc.weight, -limit, limit)
            nn.init.zeros_(fc.bias)
        for output, std in ((getattr(self, "fc_cls", None), 0.01), (getattr(self, "fc_reg", None), 0.001)):
            if isinstance(output, nn.Linear):
                nn.init.normal_(output.weight, 0.0, std)
                nn.init.zeros_(output.bias)

    def forward(self, x: torch.Tensor) -> tuple:  # (R, C, 7, 7)
        if self.with_checkpoint:
            x = run_keeping_convolutions_only(self.shared_convs, x)
        else:
            for conv in self.shared_convs:
                x = conv(x)
        if self.num_shared_fcs:
            x = self._run_fcs(self.shared_fcs, x)
        x_cls = x_reg = x
        for conv in self.cls_convs:
            x_cls = conv(x_cls)
        for conv in self.reg_convs:
            x_reg = conv(x_reg)
        x_cls, x_reg = self._run_fcs(self.cls_fcs, x_cls), self._run_fcs(self.reg_fcs, x_reg)
        # (R, num_classes + 1), (R, 4) or (R, 4 * num_classes)
        return self.fc_cls(x_cls) if self.with_cls else None, self.fc_reg(x_reg) if self.with_reg else None

    def _run_fcs(self, fcs: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        if x.dim() > 2:
            x = (self.avg_pool(x) if self.with_avg_pool else x).flatten(1)
        for fc in fcs:
            x = fc(x)
        return x

    def loss(
        self,
        cls_score,
        bbox_pred,
        rois,
        labels,
        label_weights,
        bbox_targets,
        bbox_weights,
        reduction_override: str | None = None,
    ) -> dict:
        """As in mmdet, with the divisor of the box loss chosen by ``box_loss_divisor``.

        Args:
            cls_score: (R, num_classes + 1) logits, background last.
            bbox_pred: (R, 4) or (R, 4 * num_classes) encoded boxes.
            rois: (R, 5), image index and box.
            labels: (R,), num_classes for background.
            label_weights: (R,).
            bbox_targets, bbox_weights: (R, 4).
        """
        losses = super().loss(
            cls_score, bbox_pred, rois, labels, label_weights, bbox_targets, bbox_weights, reduction_override
        )
        if cls_score is not None and not len(cls_score):
            # mmdet gives none without regions, and the layer's parameters no gradient where other processes have one.
            losses["loss_cls"] = cls_score.sum()
        if self.box_loss_divisor == "positives" and "loss_bbox" in losses and reduction_override in (None, "mean"):
            positives = ((labels >= 0) & (labels < self.num_classes)).sum()
            # The loss is a sum over a divisor, so changing the divisor is a factor. 0.01 as in the authors' code.
            losses["loss_bbox"] = losses["loss_bbox"] * (len(labels) / (4.0 * positives + 0.01))
        return losses
