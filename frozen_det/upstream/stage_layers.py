"""Where a classifier's stages end, by module names; refuses a network that does not tell."""

import re

from torch import nn

from ..errors import InputError

# The place before the first layer, where images are mixed.
IMAGE = "image"
_STAGE_NAME = re.compile(r"(^|\.)(layer\d+|stage\d+|stages\.\d+)$")


def stage_layers(network: nn.Module) -> tuple[str, ...]:
    """``"image"`` and the module names at the ends of the stages.

    They are the ones that timm lists in a model's ``feature_info``, or modules called ``layer1``, ``stage1`` or
    ``stages.0`` and on (torchvision's and our ResNets), at any depth of the network.
    """
    modules = dict(network.named_modules())
    for prefix, module in modules.items():
        info = getattr(module, "feature_info", None)
        if info:
            listed = [entry.get("module") for entry in info]
            names = [f"{prefix}.{name}" if prefix else name for name in listed if name]
            names = [name for name in names if name in modules]
            if names:
                return (IMAGE, *names)
    names = [name for name in modules if _STAGE_NAME.search(name)]
    if not names:
        raise InputError(
            f"expected a network that tells its stages, got {type(network).__name__}; name them in "
            f"mixing.layers, from {', '.join(name for name, _ in network.named_children())}."
        )
    return (IMAGE, *names)
