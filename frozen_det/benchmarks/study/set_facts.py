"""What a set of the study is in numbers: images, objects, classes, sizes, and how far it is from ImageNet."""

import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from .arms import BACKBONES
from .sets import SETS, joined

#: Sample of ImageNet below the folder of the sets: ``labels.txt`` with a path and a class in each line.
NATURAL = "imagenet_sample"
_BACKBONE, _SIZE = "Lite0", 160


def facts(name: str, data: Path, work: Path) -> dict:
    """Facts of a set.

    Args:
        name: of :data:`.sets.SETS`.
        data: folder of the sets and of :data:`NATURAL`.
        work: keeps the features of the ImageNet sample.

    Returns:
        a record: counts of ``images`` and ``objects``, ``classes`` with their objects; ``relative_side``, the median
        over objects of the root of the share of the image that a box takes; ``distance``, of :func:`distance`.
    """
    content = joined(data / SETS[name].folder)
    area = {image["id"]: image["width"] * image["height"] for image in content["images"]}
    sides = [np.sqrt(one["bbox"][2] * one["bbox"][3] / area[one["image_id"]]) for one in content["annotations"]]
    counts = Counter(one["category_id"] for one in content["annotations"])
    folder = data / SETS[name].folder / "images"
    own = pooled(folder / image["file_name"] for image in content["images"])
    return {
        "key": name,
        "images": len(area),
        "objects": len(sides),
        "classes": {one["name"]: counts[one["id"]] for one in content["categories"]},
        "relative_side": round(float(np.median(sides)), 4),
        "distance": round(distance(own, _natural(data, work)), 4),
    }


def distance(own: np.ndarray, reference: np.ndarray) -> float:
    """How far features are from others, in standard deviations of those: the root of the mean over channels of the
    squared Frechet distance of normal distributions of each channel. Sets of a hundred images are too few for the
    covariances that the usual Frechet distance needs.

    Args:
        own: (N, C).
        reference: (M, C).
    """
    mean, spread = reference.mean(0), np.maximum(reference.std(0), 1e-12)
    scaled = (own - mean) / spread
    return float(np.sqrt((scaled.mean(0) ** 2 + (scaled.std(0) - 1) ** 2).mean()))


def pooled(paths: Iterable[Path]) -> np.ndarray:
    """Means over places of the last map of a frozen Lite0 with ImageNet weights.

    Args:
        paths: of images, which are scaled until the longer side is 160 px.

    Returns:
        (N, C) float32.
    """
    import cv2

    from ...engine.choices.backbones import network_of
    from ...models import FrozenBackbone

    body, weights = network_of(BACKBONES[_BACKBONE][0], None)
    backbone = FrozenBackbone(body, weights, (4, 8, 16, 32))
    backbone.init_weights()
    card = backbone.eval().describe_weights()
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (card.mean, card.std))
    found = []
    for path in paths:
        image = cv2.imread(str(path))
        scale = _SIZE / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(small[..., ::-1].copy()).permute(2, 0, 1).float()
        with torch.no_grad():
            found.append(backbone(((pixels - mean) / std)[None])[-1].mean((2, 3))[0].numpy())
    return np.stack(found)


def _natural(data: Path, work: Path) -> np.ndarray:
    listed = (data / NATURAL / "labels.txt").read_text(encoding="utf-8")
    kept = work / f"imagenet_features_{zlib.crc32(listed.encode()):08x}.npy"
    if not kept.is_file():
        lines = listed.splitlines()
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, pooled(data / NATURAL / line.rsplit(maxsplit=1)[0] for line in lines))
    return np.load(kept)
