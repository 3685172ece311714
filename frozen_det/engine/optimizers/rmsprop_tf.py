"""`frozen_det.RMSpropTF`: TensorFlow's RMSProp (timm's), which EfficientNets are trained with.

PyTorch's differs: epsilon is outside the root there, and squared gradients start at zero instead of one.
"""

from ...registry import OPTIMIZERS


@OPTIMIZERS.register_module()
def RMSpropTF(
    params,
    lr: float = 0.01,
    alpha: float = 0.9,
    eps: float = 1e-3,  # noqa: N802
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    decoupled_decay: bool = False,
    lr_in_momentum: bool = True,
):
    """RMSProp as in google-research/noisystudent: decay 0.9, momentum 0.9, epsilon 1e-3.

    Args:
        params: parameters or groups of them.
        lr, alpha, eps, weight_decay, momentum, decoupled_decay, lr_in_momentum: as in ``timm.optim.RMSpropTF``.
    """
    from timm.optim import RMSpropTF as TimmRMSpropTF

    return TimmRMSpropTF(
        params,
        lr=lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        decoupled_decay=decoupled_decay,
        lr_in_momentum=lr_in_momentum,
    )
