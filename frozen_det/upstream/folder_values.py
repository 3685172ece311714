"""`frozen_det.FolderValues`: what a config for an image folder takes from the data, by rules that it states.

num_classes: the class folders of the training images. image_size: their median short side, as a multiple of 32, from
half of the side that the network was pretrained at to 1.15 times that (a network classifies best a little above the
size it was trained at: Touvron et al., arXiv 1906.06423); the pretrained side itself where the network runs at no
other. batch_size: 32, or all images where there are fewer. epochs: as many as make `updates` steps, from 10 to 300.
"""

import math
import os
import statistics
from collections import Counter
from collections.abc import Collection

import numpy as np
import torch

from ..datasets.images.files import image_size_hw
from ..errors import InputError
from ..models.backbone_sources.build import build_network, on_meta
from ..registry import FUNCTIONS
from .classifier import expected_input
from .folder_trees import FolderTree, find_tree, num_outside, read_tree
from .image_records import ImageRecords, said_left_out, same_but_for_spelling

RULES = {  # and the entry that is the same, where there is one
    "num_classes": "model.num_classes",
    "image_size": None,
    "batch_size": "train_dataloader.batch_size",
    "epochs": "train_cfg.max_epochs",
}
LARGEST, SMALLEST = 1.15, 0.5  # of the pretrained side
_STEP = 32  # px: the stride of the last stage of most networks
_NUM_SAMPLED = 500  # heads of files; a tenth of a second
_BATCH = 32
_EPOCHS = (10, 300)
_SHOWN = 5


@FUNCTIONS.register_module()
class FolderValues:
    """Values of names that a config has of its own, from its training images (:mod:`.folder_trees`).

    Args:
        names: of :data:`RULES`; the config uses each.
        updates: steps of the optimiser that the whole run is to have, for `epochs`.

    Raises:
        InputError: an unknown name, or no number of updates.
    """

    def __init__(self, names: Collection[str] = tuple(RULES), updates: int = 600) -> None:
        if set(names) - set(RULES) or isinstance(updates, bool) or not isinstance(updates, int) or updates < 1:
            raise InputError(
                f"expected from_data with names of {', '.join(RULES)} and a whole number of updates from 1 on, got "
                f"names={list(names)} and updates={updates!r}."
            )
        self.names, self.updates = tuple(names), updates

    def __call__(self, cfg, given: Collection[str]) -> tuple[dict[str, int], list[str]]:
        """Values, and lines that state them and the data; nothing where there are no data yet.

        Args:
            cfg: of a classifier whose training data are a `frozen_det.ImageFolder` with a `val_share`.
            given: names, and dotted keys of entries, that are set already.

        Raises:
            InputError: data that no training could use.
        """
        dataset = cfg.train_dataloader.dataset
        root, wanted = dataset.get("data_root"), [name for name in self.names if not {name, RULES[name]} & set(given)]
        if not wanted or not root or not os.path.exists(root):
            return {}, []
        for part in ("train", "val"):
            other = (cfg.get(f"{part}_dataloader") or {}).get("dataset") or {}
            if not str(other.get("type")).endswith("ImageFolder") or other.get("val_share") is None:
                raise InputError(
                    f"expected {part}_dataloader.dataset as frozen_det.ImageFolder with a val_share beside from_data "
                    f"in {cfg.filename}, got {other.get('type')}. Set from_data=None, and {', '.join(wanted)} yourself."
                )
        tree = find_tree(root)
        train, val = (_read(cfg, part) for part in ("train", "val"))
        if len(train.classes) < 2:
            raise InputError(
                f"expected at least two class folders in {train.source} (data_root), got one, {train.classes[0]!r}: "
                "there is nothing to tell apart. Add images of what it is not, in a folder of their own."
            )
        if not len(val):
            raise InputError(
                f"expected images to validate on in {root} (data_root), got classes of one image each, which train. "
                "Add images, or a folder val."
            )
        values, reasons = {}, []
        for name in wanted:
            values[name], reason = getattr(self, f"_{name}")(cfg, train, values)
            reasons.append(f"{name}={values[name]}" + f" ({reason})" * bool(reason))
        return values, [*_said(tree, train, val), f"from the data: {', '.join(reasons)}"]

    def _num_classes(self, cfg, train: ImageRecords, values) -> tuple[int, str]:
        return len(train.classes), ""

    def _image_size(self, cfg, train: ImageRecords, values) -> tuple[int, str]:
        found = round(statistics.median(_short_sides(train)))
        network = on_meta(lambda: build_network(dict(cfg.model.backbone), 2))
        own = getattr(expected_input(network[0].preprocess, cfg.model.get("weights")), "input_size", None)
        size = side_of(found, own)
        if own is not None and not _runs_at(*network, size):
            return own, f"the only size of {network[0].architecture}"
        return size, f"short sides {found} px, pretrained at {own or 'an unknown size'}"

    def _batch_size(self, cfg, train: ImageRecords, values) -> tuple[int, str]:
        return min(_BATCH, len(train)), ""

    def _epochs(self, cfg, train: ImageRecords, values) -> tuple[int, str]:
        batch = values.get("batch_size", cfg.train_dataloader.batch_size) * cfg.get("accumulate", 1)
        steps = max(len(train) // batch, 1)
        epochs = min(max(math.ceil(self.updates / steps), _EPOCHS[0]), _EPOCHS[1])
        return epochs, f"{epochs * steps} updates of {batch} images"


def side_of(short_side: int, own: int | None) -> int:
    """The side to train at, in px.

    Args:
        short_side: of the images, in px.
        own: what the network was pretrained at; None where that is unknown.
    """
    size = max(short_side // _STEP * _STEP, _STEP)
    if own is None:
        return size
    least, most = math.ceil(SMALLEST * own / _STEP) * _STEP, math.floor(LARGEST * own / _STEP) * _STEP
    return min(max(size, min(least, own)), max(most, own))


def _read(cfg, part: str) -> ImageRecords:
    """The listing of one split, by the settings of its data set."""
    given = cfg[f"{part}_dataloader"].dataset
    known = {key: given[key] for key in ("classes", "allow_empty") if key in given}
    return read_tree(given.data_root, given.split, given.val_share, given.get("split_seed", 0), **known)


def _short_sides(records: ImageRecords) -> list[int]:
    chosen = np.linspace(0, len(records) - 1, min(_NUM_SAMPLED, len(records))).astype(int)
    sides = []
    for path in (records.path(place) for place in chosen):
        try:
            sides.append(min(image_size_hw(path)))
        except OSError as error:
            raise InputError(
                f"expected a readable image, got {path}: {error}; replace or remove the file (data_root)."
            ) from error
    return sides


def _runs_at(network, device: str, size: int) -> bool:
    try:
        with torch.no_grad():
            network.module.eval()(torch.zeros(1, 3, size, size, device=device))
    except Exception:  # whatever a network raises at a size that it does not take
        return False
    return True


def _said(tree: FolderTree, train: ImageRecords, val: ImageRecords) -> list[str]:
    """What the folder holds, and what of it may not be meant."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    val_counts = np.bincount(val.labels, minlength=len(train.classes))
    how = "drawn by seed" if tree.is_divided else f"in {tree.folder('val')}"
    lines = [
        f"{tree.root}: {len(train.classes)} classes, {len(train)} training images ({counts.min()} to {counts.max()} a "
        f"class), {len(val)} validation images ({how})"
    ]
    left_out = Counter(train.left_out) + (Counter() if tree.is_divided else Counter(val.left_out))
    if left_out:
        lines.append(said_left_out(left_out))
    outside = num_outside(tree)
    if outside:
        lines.append(f"{outside} images outside the class folders are not read")
    if tree.not_read:
        lines.append(f"not read: {_some(tree.not_read)}, beside the splits")
    inner = {os.path.dirname(os.fsdecode(path)) for path in (*train.paths, *val.paths)} - set(train.classes)
    if inner:
        lines.append(f"{len(inner)} folders below the class folders count for their class: {_some(sorted(inner))}")
    for names in same_but_for_spelling(train.classes):
        lines.append(f"classes that differ by case, blanks or Unicode form alone: {_some(names)}")
    without = [name for name, count in zip(train.classes, val_counts) if not count]
    if without:
        lines.append(f"{len(without)} classes without validation images: {_some(without)}")
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _some(names) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + ", ..." * (len(names) > _SHOWN)
