"""`frozen_det.CubBirds`: CUB-200-2011 for classification, by its official split."""

from pathlib import Path

import numpy as np

from ..datasets.cub import LISTING, SPLITS, read_cub
from ..errors import InputError
from ..registry import DATASETS
from .datasets import ClassificationDataset
from .image_records import ImageRecords


@DATASETS.register_module()
class CubBirds(ClassificationDataset):
    """200 kinds of birds, 5,994 images to train on and 5,794 to test.

    Args:
        data_root: The folder ``CUB_200_2011`` as it unpacks.
        split: "train" or "test".
        others: See :class:`.datasets.ClassificationDataset`.

    Raises:
        InputError: Another split, or what :func:`frozen_det.datasets.cub.read_cub` refuses.
    """

    def __init__(self, data_root: str, split: str = "train", **others) -> None:
        if split not in SPLITS:
            raise InputError(f"expected split as one of {list(SPLITS)}, got {split!r} (dataset.split).")
        birds, classes = read_cub(data_root)
        chosen = [bird for bird in birds if bird.split == split]
        if not chosen:
            raise InputError(
                f"expected images of the split {split!r} in {data_root}, got none of {len(birds)} (dataset.split)."
            )
        root = Path(data_root).expanduser()
        super().__init__(
            ImageRecords(
                root=str(root / "images"),
                paths=np.array([bird.path.encode() for bird in chosen]),
                labels=np.array([bird.label for bird in chosen], dtype=np.int64),
                classes=classes,
                source=f"{root / LISTING} ({split})",
            ),
            **others,
        )
