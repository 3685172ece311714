"""`sync_bn='torch'` for distributed training, without losing activations that are part of a norm.

mmengine replaces every subclass of BatchNorm by a plain `SyncBatchNorm`. timm's `BatchNormAct2d` contains the
activation, so EfficientNets, MobileNets and many others silently lose every activation in distributed training
(measured on EfficientNet-Lite0: features wrong by a factor of 10 to 10000).
Here frozen norms are not converted, since norms in eval mode need no synchronisation. timm's norms become timm's own
synchronised type. Any other type with its own forward pass is refused by name.
"""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import InputError

_PLAIN_FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


def guard_host_sync_bn() -> None:
    """Replace mmengine's BatchNorm conversion (config key `sync_bn`) by the one of this module. Idempotent."""
    import mmengine.model
    import mmengine.runner.runner
    from mmengine.model import utils

    if getattr(utils.convert_sync_batchnorm, "guarded", False):
        return
    plain = utils.convert_sync_batchnorm

    def convert_sync_batchnorm(module: nn.Module, implementation: str = "torch") -> nn.Module:
        """mmengine's signature; see :mod:`frozen_det.models.backbones.sync_bn`."""
        from .frozen_backbone import FrozenBackbone

        if isinstance(module, FrozenBackbone):
            _convert_body(module, lambda norm: _converted(norm, implementation, plain))
            return module
        return _converted(module, implementation, plain)

    convert_sync_batchnorm.guarded = True
    # mmengine's function recurses through its module's attribute, and the Runner has imported the name.
    for place in (utils, mmengine.model, mmengine.runner.runner):
        place.convert_sync_batchnorm = convert_sync_batchnorm


def _converted(module: nn.Module, implementation: str, plain) -> nn.Module:
    """Convert a module with mmengine's `plain` (which recurses), unless it is a norm that computes more."""
    if not isinstance(module, _BatchNorm) or type(module).forward in _PLAIN_FORWARDS:
        return plain(module, implementation)
    from timm.layers import BatchNormAct2d, convert_sync_batchnorm

    if isinstance(module, BatchNormAct2d):
        return convert_sync_batchnorm(module)
    raise InputError(
        f"expected BatchNorms that only normalise where sync_bn={implementation!r}, got a "
        f"{type(module).__module__}.{type(module).__name__} with a forward pass of its own, which a "
        "SyncBatchNorm in its place would drop. Leave `sync_bn` out of the config, or freeze this part."
    )


def _convert_body(backbone: nn.Module, convert) -> None:
    """Replace the trainable norms of a backbone; frozen ones stay the same objects, hooks included."""
    mode = backbone.training
    backbone.train(True)
    norms = [name for name, module in backbone.named_modules() if isinstance(module, _BatchNorm) and module.training]
    for name in norms:
        owner, _, attribute = name.rpartition(".")
        setattr(backbone.get_submodule(owner), attribute, convert(backbone.get_submodule(name)))
    backbone.train(mode)
