"""What counts as a normalisation layer: all kinds of BatchNorm and InstanceNorm, GroupNorm and LayerNorm."""

from torch import nn

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
