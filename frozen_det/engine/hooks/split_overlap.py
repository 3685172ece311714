"""`frozen_det.SplitOverlapHook`: one warning before training where validation images are training images too.

The same file under the same path, or a copy of it. Files are hashed only where their sizes agree (and, in large data
sets, their names), so that nothing is read of data without copies.
"""

import filecmp
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator

from mmengine.hooks import Hook

from ...registry import HOOKS

_NUM_BY_SIZE = 5000  # up to here a copy is found under any name: the sizes of all files are requested
_PROBE_BYTES = 2**14


@HOOKS.register_module()
class SplitOverlapHook(Hook):
    """Compare the images of the training data with those of the validation data."""

    def before_train(self, runner) -> None:
        """Warn, from one process."""
        if runner.rank or runner.val_loop is None:
            return
        train, val = (list(image_paths(loop.dataloader.dataset)) for loop in (runner.train_loop, runner.val_loop))
        same, copies = shared_images(train, val)
        if same or copies:
            first = f"{same[0]}" if same else f"{copies[0][1]}, a copy of {copies[0][0]}"
            runner.logger.log(
                logging.WARNING,
                f"{len(same) + len(copies)} of {len(val)} validation images are training images too "
                f"({len(same)} the same file, {len(copies)} a copy), the first {first}: validation measures memory on "
                "them. Split the data so that no image is in both.",
            )


def image_paths(dataset) -> Iterator[str]:
    """Local image files of a detection data set, through wrappers; none of others."""
    inner = getattr(dataset, "datasets", None) or [inner for inner in [getattr(dataset, "dataset", None)] if inner]
    if inner:
        for one in inner:
            yield from image_paths(one)
    elif getattr(dataset, "image_paths", None) is not None:
        yield from dataset.image_paths


def shared_images(train: Iterable[str], val: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Images of two lists that are the same.

    Args:
        train, val: paths of files; those that are not there are left out.

    Returns:
        files of ``val`` that are in ``train``, and (file of ``train``, its copy in ``val``) for equal bytes.
    """
    train, val = (dict.fromkeys(map(os.path.abspath, paths)) for paths in (train, val))
    same = [path for path in val if path in train]
    others = [path for path in val if path not in train]
    if len(train) + len(others) > _NUM_BY_SIZE:
        names = set(map(os.path.basename, others))
        train = [path for path in train if os.path.basename(path) in names]
    same_size = _grouped(train, _size)
    sizes = {path: _size(path) for path in others}
    probed = _grouped((path for size in set(sizes.values()) & same_size.keys() for path in same_size[size]), _probe)
    found = (
        (next((other for other in probed.get(_probe(path), ()) if _equal(other, path)), None), path)
        for path, size in sizes.items()
        if size in same_size
    )
    return same, [(other, path) for other, path in found if other is not None]


def _grouped(paths: Iterable[str], key) -> dict:
    groups: dict = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return groups


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def _probe(path: str) -> tuple[int, bytes]:
    """The size and a piece of the middle, where different images differ."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, (size - _PROBE_BYTES) // 2))
            return size, hashlib.sha256(file.read(_PROBE_BYTES)).digest()
    except OSError:
        return -1, os.fsencode(path)


def _equal(first: str, second: str) -> bool:
    try:
        return filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False
