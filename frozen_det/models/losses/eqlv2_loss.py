"""mmdet's equalization loss v2 (arXiv 2012.08548), tested as it is trained: by sigmoids.

mmdet's box heads ask a loss for its own activation only if it says that it has one, and mmdet's ``EQLV2Loss`` does not
say so: logits that were trained one by one are tested by a softmax over all of them. The authors' heads
(tztztztztz/eqlv2, ``bbox_head.py``) take the loss's activation, the sigmoid times one minus the background's.
"""

import torch
from mmdet.models.losses import EQLV2Loss as HostEQLV2Loss
from mmdet.models.losses import accuracy

from ...registry import MODELS


@MODELS.register_module()
class EQLV2Loss(HostEQLV2Loss):
    """mmdet's loss with what mmdet's box heads ask for. The options are mmdet's."""

    custom_cls_channels = custom_activation = custom_accuracy = True

    def get_cls_channels(self, num_classes: int) -> int:
        """Outputs of the final layer: the classes and the background."""
        return self.get_channel_num(num_classes)

    def get_accuracy(self, cls_score: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Share of (R,) labels that have the highest of (R, C + 1) logits, in percent."""
        return dict(acc=accuracy(cls_score, labels))
