"""A labelled part and a pool out of one labelled image folder, for studies of learning with few labels.

The same number of images of each class is drawn; of all others the labels are forgotten. Refuses more than there are.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import replacing
from ..image_records import ImageRecords, read_folder


@dataclass(frozen=True)
class LabelledSplit:
    """Files of a split.

    Attributes:
        labelled: list file, lines ``path index``.
        pool: list file, one path a line.
        classes: text file, one class name a line.
    """

    labelled: Path
    pool: Path
    classes: Path


def split_files(folder) -> LabelledSplit:
    """Where :func:`write_split` puts its files."""
    return LabelledSplit(*(Path(folder, name) for name in ("labelled.txt", "pool.txt", "classes.txt")))


def write_split(
    folder, data_root, split: str = "train", per_class: int = 400, pool_images: int | None = None, seed: int = 0
) -> LabelledSplit:
    """Draw the labelled images and the pool.

    Args:
        folder: where the three lists go.
        data_root, split: of the image folder, see :func:`~.image_records.read_folder`.
        per_class: labelled images of each class.
        pool_images: images of the pool, drawn at random from the rest; None for all the rest.
        seed: of the draws.

    Raises:
        InputError: fewer images than requested.
    """
    records = read_folder(os.path.abspath(data_root), split)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(records))
    labelled = np.zeros(len(records), dtype=bool)
    for label, name in enumerate(records.classes):
        own = order[records.labels[order] == label]
        if len(own) < per_class:
            raise InputError(
                f"expected at least {per_class} images of class {name!r} in {records.source} "
                f"(split.per_class), got {len(own)}."
            )
        labelled[own[:per_class]] = True
    rest = order[~labelled[order]]
    if pool_images is not None and not 0 < pool_images <= len(rest):
        raise InputError(
            f"expected 1 to {len(rest)} images for the pool, those of {records.source} that are not "
            f"labelled, got {pool_images} (split.pool_images)."
        )
    files = split_files(folder)
    _write(files.labelled, _lines(records, np.flatnonzero(labelled), True))
    _write(files.pool, _lines(records, np.sort(rest[:pool_images]), False))
    _write(files.classes, list(records.classes))
    return files


def _lines(records: ImageRecords, places, with_label: bool) -> list[str]:
    return [f"{records.path(place)} {records.labels[place]}" if with_label else records.path(place) for place in places]


def _write(path: Path, lines: list[str]) -> None:
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
