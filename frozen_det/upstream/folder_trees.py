"""Image folders as users have them: split folders under their usual names, or class folders alone, split by seed.

Known trees below a root, whatever the case of the splits' names:

    train/CLASS/**  val/CLASS/**     validation also as valid, validation; without it, test validates
    train/CLASS/**                   a share of each class validates
    CLASS/**                         the same

A split folder holds folders: `train/` with pictures in it is a class. Refused: a root without class folders, two
folders for one split, validation without training.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError, check_choice
from .image_records import EXTENSIONS, ImageRecords, read_folder

_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
EXPECTED = "train/CLASS/* and val/CLASS/*, or train/CLASS/*, or CLASS/*"


@dataclass(frozen=True)
class FolderTree:
    """Where the splits of an image folder are.

    Attributes:
        root: The data root.
        folders: Split -> name of its folder in the root; ``""`` where the class folders are in the root. Of a tree that
            is divided by seed, ``train`` alone.
        not_read: Names of folders beside the splits.
    """

    root: Path
    folders: dict[str, str]
    not_read: tuple[str, ...] = ()

    @property
    def is_divided(self) -> bool:
        """Whether validation images are drawn from the training folder."""
        return set(self.folders) == {"train"}

    def folder(self, split: str) -> str:
        """Name of the folder that a split's images are in: validation falls back to test, test to validation, both to
        the folder that is divided."""
        order = {"train": ("train",), "val": ("val", "test", "train"), "test": ("test", "val", "train")}[split]
        return next(self.folders[name] for name in order if name in self.folders)


def find_tree(root) -> FolderTree:
    """The tree of an image folder.

    Raises:
        InputError: No folder, or none of the known trees.
    """
    root = Path(root)
    if not root.is_dir():
        got = "a file; unpack archives" if root.exists() else "nothing there"
        raise InputError(f"expected a folder with {EXPECTED} at {root} (data_root), got {got}.")
    inner = _folders(root)
    named = {split: [name for name in inner if name.lower() in names] for split, names in _NAMES.items()}
    splits = {split: [name for name in names if _folders(root / name)] for split, names in named.items()}
    for split, names in splits.items():
        if len(names) > 1:
            raise InputError(f"expected one folder for {split} in {root} (data_root), got {names}; keep one.")
    found = {split: names[0] for split, names in splits.items() if names}
    flat = [name for names in named.values() for name in names]
    if not inner or not found and set(flat) == set(inner):
        raise InputError(
            f"expected {EXPECTED} in {root} (data_root), got {_num_images(Path(root, *flat[:1]))} images and no folder"
            f"{f' in {flat[0]}' if flat else ''}; put the images of each class into a folder of its name."
        )
    if found and "train" not in found:
        raise InputError(f"expected {EXPECTED} in {root} (data_root), got {sorted(found.values())} without train.")
    if not found and len(inner) == 1 and _folders(root / inner[0]) and not _num_images(root / inner[0]):
        raise InputError(
            f"expected {EXPECTED} in {root} (data_root), got one folder with folders in it; take that as the data "
            f"root: data_root={root / inner[0]}."
        )
    others = tuple(name for name in inner if name not in found.values()) if found else ()
    return FolderTree(root, found or {"train": ""}, others)


def read_tree(
    root, split: str, val_share: float, seed: int = 0, classes=None, allow_empty: bool = False
) -> ImageRecords:
    """The images of one split of a tree.

    Args:
        root: Data root.
        split: ``train``, ``val`` or ``test``.
        val_share: In (0, 1): share of each class that validates where the tree is divided. A class of two images or
            more is on both sides; a single image trains.
        seed: Of that division.
        classes, allow_empty: See :func:`~.image_records.read_folder`.

    Raises:
        InputError: As :func:`find_tree` and :func:`~.image_records.read_folder`.
    """
    check_choice("split", split, _NAMES, " (dataset.split)")
    if isinstance(val_share, bool) or not isinstance(val_share, int | float) or not 0 < val_share < 1:
        raise InputError(f"expected val_share between 0 and 1, got {val_share!r} (dataset.val_share).")
    tree = find_tree(root)
    if not tree.is_divided:
        return read_folder(root, tree.folder(split), classes, tree.folders["train"], allow_empty)
    records = read_folder(root, tree.folders["train"], classes, None, allow_empty)
    validates = _drawn(records.labels, val_share, seed)
    return records.take(np.flatnonzero(validates if split != "train" else ~validates))


def num_outside(tree: FolderTree) -> int:
    """Number of images beside the class folders, or beside the splits."""
    return sum(_num_images(folder) for folder in {tree.root, *(tree.root / name for name in tree.folders.values())})


def _drawn(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(N,) bool: which of the images validate, the same for the same labels in their order."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(own)), 1), len(own) - 1)
        chosen[own[:count]] = True
    return chosen


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _num_images(folder: Path) -> int:
    return sum(name.lower().endswith(EXTENSIONS) and not name.startswith(".") for name in os.listdir(folder))
