"""mmdet's SSD head, with the attribute that mmdet's prediction of every dense head reads and SSD's never sets."""

from mmdet.models.dense_heads import SSDHead as HostSSDHead

from ...registry import MODELS


@MODELS.register_module()
class SSDHead(HostSSDHead):
    """mmdet's SSDHead, which has its losses as functions; arguments, keys and numbers are the same.

    Without `loss_cls` the host's prediction ends in an AttributeError (mmdet 3.5.1).
    """

    loss_cls = None
