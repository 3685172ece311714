"""`frozen_det.VggGap`: VGG-16 with a convolution and global average pooling in place of its three linear layers.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016; sizes as in clovaai/wsolevaluation,
wsol/vgg.py: no last pooling, so that 224 px give a map of 14 x 14, then 3 x 3 to 1024 channels. The convolutions have
torchvision's names (``features.N``): its VGG-16 file fills them.
"""

import torchvision
from torch import Tensor, nn

from ..models.backbone_sources.build import Preprocess
from ..registry import MODELS


@MODELS.register_module()
class VggGap(nn.Module):
    """VGG-GAP; weights: ``dict(path=<torchvision's vgg16 file>, head='new')``.

    Args:
        num_classes: For a classifier; None for a backbone, which gives its last map.

    Attributes:
        new_with_head: what a file of VGG-16 lacks, which stays random where ``head='new'``.
    """

    head_keys = frozenset({"fc.weight", "fc.bias"})
    new_with_head = frozenset({"conv6.weight", "conv6.bias"})
    preprocess = Preprocess(
        mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), input_size=224, crop_ratio=0.875
    )

    def __init__(self, num_classes: int | None = None) -> None:
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None, init_weights=False).features[:-1]
        self.conv6 = nn.Conv2d(512, 1024, 3, padding=1)
        self.relu = nn.ReLU(inplace=False)
        self.fc = nn.Linear(1024, num_classes) if num_classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        if self.fc is not None:
            nn.init.normal_(self.fc.weight, 0, 0.01)
            nn.init.zeros_(self.fc.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | Tensor:  # (N, 3, H, W)
        """The map at stride 16; with ``num_classes`` logits (N, num_classes)."""
        last = self.relu(self.conv6(self.features(images)))  # (N, 1024, H/16, W/16)
        return (last,) if self.fc is None else self.fc(last.mean((2, 3)))
