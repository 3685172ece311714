"""Tiny classifiers whose right answers are known, for the studies' tests."""

import torch
from torch import nn

from frozen_det.robustness.candidates import StudyClassifier, StudyImages


class Brightness(nn.Module):
    """Two classes by the mean of all pixels: class 1 above 0.5, with a known slope. The norm does nothing in eval."""

    def __init__(self, slope: float = 10.0):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.norm = nn.BatchNorm2d(3, affine=False, eps=1e-12)

    def forward(self, images):
        mean = self.norm(images).mean((1, 2, 3))
        return torch.stack([-self.slope * (mean - 0.5), self.slope * (mean - 0.5)], 1)


class Places(nn.Module):
    """One class per quarter of the image, the brightest wins; global pooling and a linear head."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 1, bias=False)
        nn.init.constant_(self.features.weight, 1 / 3)
        self.head = nn.Linear(4, 4, bias=False)
        self.head.weight.data = torch.eye(4)

    def forward(self, images):
        maps = self.features(images)
        mask = torch.zeros_like(maps)
        h, w = maps.shape[-2] // 2, maps.shape[-1] // 2
        for number, (y, x) in enumerate([(0, 0), (0, w), (h, 0), (h, w)]):
            mask[:, number, y : y + h, x : x + w] = 1
        self.last = maps * mask
        return self.head(self.last.mean((2, 3)))


def classifier(network, mean=(0, 0, 0), std=(255, 255, 255), batch_size=3) -> StudyClassifier:
    return StudyClassifier(network, mean, std, batch_size)


def images_of(pixels, labels) -> StudyImages:
    """uint8 images from values in [0, 1]."""
    pixels = (torch.as_tensor(pixels) * 255).round().to(torch.uint8)
    return StudyImages(
        pixels,
        torch.as_tensor(labels),
        [f"{n}.png" for n in range(len(pixels))],
        ("dark", "light"),
        "digest",
        lambda image: image,
    )


def flat(levels, size=8):
    """Images of one level each, (N, 3, size, size)."""
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, size, size)
