"""mmdet's SSD head with the attribute `loss_cls`, which mmdet's prediction reads and SSDHead does not set."""

from mmdet.models.dense_heads import SSDHead as HostSSDHead

from ...registry import MODELS


@MODELS.register_module()
class SSDHead(HostSSDHead):
    """mmdet's SSDHead, with the same arguments, keys and results.

    Without `loss_cls`, prediction raises an AttributeError (mmdet 3.5.1).
    """

    loss_cls = None
