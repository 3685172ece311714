"""Which class each label of a data set is: by its list of names, or by the file where the data set counts so.

mmdet's CocoDataset counts labels as its json lists the categories, whatever the order of `metainfo.classes`; the names
it shows then belong to other labels.
"""

import json
import logging
from functools import lru_cache
from pathlib import Path

from mmengine.logging import print_log

from ...errors import InputError
from ...weights.class_names import RENAME, classes_in, names_of, order_of, shown


def label_classes(dataset) -> tuple[str, ...] | None:
    """The class names of a data set, label by label; None where it names none.

    Args:
        dataset: built, perhaps lazily, perhaps inside wrappers.
    """
    metainfo = getattr(dataset, "metainfo", None) or getattr(dataset, "METAINFO", None)
    listed = classes_in(metainfo)
    if listed is None or (hasattr(listed, "__len__") and len(listed) == 0):
        return None
    listed = names_of(listed, name_of_data(dataset))
    for leaf in _leaves(dataset):
        counted = _by_file(leaf, listed)
        if counted is not None and counted != listed:
            print_log(
                f"{name_of_data(leaf)} lists its classes as {shown(counted)}, metainfo.classes as "
                f"{shown(listed)}: mmdet's CocoDataset counts labels as the file does, so its order is taken",
                logger="current",
                level=logging.WARNING,
            )
            return counted
    return listed


def category_ids(dataset) -> tuple[int | str, ...] | None:
    """The category id of each label in the annotation file; None where a data set has none, or joined ones differ.

    Args:
        dataset: built, its annotations loaded, perhaps inside wrappers.
    """
    found = {_ids_by_label(leaf) for leaf in _leaves(dataset)}
    return found.pop() if len(found) == 1 else None


def order_for(
    dataset, stated: tuple[str, ...] | None, where: str, optional: bool = False, marked: bool = True
) -> tuple[int, ...] | None:
    """The data's label of each label of a model; None where they are the same.

    Args:
        dataset: built, perhaps lazily.
        stated: the model's class names by label, or None.
        where: the checkpoint, for messages.
        optional: whether it may state none.
        marked: whether it says that `stated` goes by label. A checkpoint that only holds a data set's list may have
            been trained by the order of the file.

    Raises:
        InputError: other classes, or an unknown order.
    """
    order = order_of(stated, label_classes(dataset), where, name_of_data(dataset), optional)
    if order is None or marked:
        return order
    listed = names_of(classes_in(dataset.metainfo), name_of_data(dataset))
    if listed == stated:
        raise InputError(
            f"expected the classes of {name_of_data(dataset)} in the order of metainfo.classes, "
            f"{shown(listed)}, got another one, by which mmdet's CocoDataset counts labels; whether "
            f"{where} was trained is unknown. Use frozen_det.CocoDataset, which counts by name, or "
            f"write the order of its labels into it: {RENAME}."
        )
    return order


def name_of_data(dataset) -> str:
    """What a data set is called in messages: its annotation file, or its type."""
    leaf = next(iter(_leaves(dataset)), dataset)
    return str(
        getattr(leaf, "ann_file", None)
        or getattr(getattr(leaf, "records", None), "source", None)
        or type(leaf).__name__
    )


def _leaves(dataset):
    inner = getattr(dataset, "datasets", None)
    if not inner and getattr(dataset, "dataset", None) is not None:
        inner = [dataset.dataset]
    if not inner:
        yield dataset
        return
    for one in inner:
        yield from _leaves(one)


def _ids_by_label(leaf) -> tuple[int | str, ...] | None:
    labels = getattr(leaf, "cat2label", None)  # of mmdet's kind: id -> label
    if not isinstance(labels, dict) or sorted(labels.values()) != list(range(len(labels))):
        return None
    return tuple(sorted(labels, key=labels.get)) or None


def _by_file(dataset, listed: tuple[str, ...]) -> tuple[str, ...] | None:
    """The classes as mmdet's own CocoDataset counts them; None for every other data set."""
    from mmdet.datasets import CocoDataset

    if not isinstance(dataset, CocoDataset) or type(dataset).load_data_list is not CocoDataset.load_data_list:
        return None
    path = Path(str(dataset.ann_file))
    return _categories(str(path), path.stat().st_mtime_ns, listed) if path.is_file() else None


@lru_cache(maxsize=8)
def _categories(path: str, changed: int, listed: tuple[str, ...]) -> tuple[str, ...] | None:
    try:
        names = [str(one["name"]) for one in json.loads(Path(path).read_text(encoding="utf-8"))["categories"]]
    except (ValueError, KeyError, TypeError, OSError):
        return None  # the data set says what is wrong with its file
    return tuple(name for name in names if name in listed)
