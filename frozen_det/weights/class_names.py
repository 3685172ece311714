"""Which classes a checkpoint knows and which the data have: the same, the same in another order, or other ones.

The one place where this is decided, for testing, validation, resuming and prediction alike. Equal sets in another order
are matched by name; other names or another number are refused with both lists. A label is never taken for another's.
"""

from collections.abc import Iterable, Mapping, Sequence, Set

from ..errors import InputError
from .tensor_checks import few

# Where a checkpoint's meta says which class each label is; a data set's list does not always (mmdet's CocoDataset).
LABEL_CLASSES = "label_classes"
# The category id of each label in the annotation file of the training data.
CATEGORY_IDS = "category_ids"
_SHOWN = 20
RENAME = (
    "frozen-det convert CHECKPOINT -o OUT.pth --classes-from TRAINING_ANNOTATIONS.json writes the names of the "
    "data it was trained on into it"
)


def stated_classes(checkpoint, where: str) -> tuple[str, ...] | None:
    """The class names that a checkpoint states, label by label.

    Args:
        checkpoint: what :func:`.loading.read` gave; mmengine's and mmdet 2's checkpoints state them in their `meta`.
        where: the file, for messages.

    Returns:
        the names, or None where it states none.

    Raises:
        InputError: a value that is not a list of names.
    """
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    if not isinstance(meta, Mapping):
        return None
    if meta.get(LABEL_CLASSES) is not None:
        return names_of(meta[LABEL_CLASSES], where)
    for holder in (meta.get("dataset_meta"), meta):
        found = classes_in(holder)
        if found is not None:
            return names_of(found, where)
    return None


def counts_by_label(checkpoint: Mapping) -> bool:
    """Whether the names that a checkpoint states are known to go by its labels: the list of a data set may not."""
    meta = checkpoint.get("meta")
    return isinstance(meta, Mapping) and meta.get(LABEL_CLASSES) is not None


def stated_category_ids(checkpoint: Mapping, num_classes: int, where: str) -> tuple[int | str, ...]:
    """The category id of each label in the data that a checkpoint was trained on; 1, 2, ... where it states none.

    Raises:
        InputError: a value that is not one id for each class.
    """
    meta = checkpoint.get("meta")
    stated = meta.get(CATEGORY_IDS) if isinstance(meta, Mapping) else None
    if stated is None:
        return tuple(range(1, num_classes + 1))
    if (
        not isinstance(stated, list | tuple)
        or any(isinstance(one, bool) or not isinstance(one, int | str) for one in stated)
        or not len(stated) == len(set(stated)) == num_classes
    ):
        raise InputError(
            f"expected meta.{CATEGORY_IDS} of {where} as {num_classes} different ids, one for each class, got "
            f"{str(stated)[:80]}. {RENAME}."
        )
    return tuple(stated)


def classes_in(metainfo):
    """The entry `classes` of a data set's metainfo, however it is spelt (mmdet 2 and 3.0 wrote it in capitals)."""
    if not isinstance(metainfo, Mapping):
        return None
    return next((value for key, value in metainfo.items() if str(key).lower() == "classes"), None)


def names_of(classes, where: str) -> tuple[str, ...] | None:
    """A list of class names in any form; a text is one class.

    Args:
        classes: text, list, tuple, array, or names by label.
        where: its place, for messages.

    Returns:
        names; None for an empty list.

    Raises:
        InputError: no list of names.
    """
    if isinstance(classes, str):
        return (classes,)
    if isinstance(classes, Mapping):  # label -> name
        labels = {str(label): name for label, name in classes.items()}
        if set(labels) != {str(label) for label in range(len(labels))}:
            raise InputError(
                f"expected the classes in {where} by the labels 0..{len(labels) - 1}, got the keys "
                f"{few(map(str, classes), 5)}."
            )
        classes = [labels[str(label)] for label in range(len(labels))]
    classes = classes.tolist() if hasattr(classes, "tolist") else classes
    if isinstance(classes, Iterable) and not isinstance(classes, bytes | Set):  # a set has no order
        classes = list(classes)
        if all(isinstance(name, str | int) for name in classes):
            return tuple(str(name) for name in classes) or None
    raise InputError(f"expected a list of class names in {where}, got {type(classes).__name__}: {str(classes)[:80]}.")


def order_of(
    model: Sequence[str] | None, data: Sequence[str] | None, model_where: str, data_where: str, optional: bool = False
) -> tuple[int, ...] | None:
    """How the model's labels become the data's.

    Args:
        model, data: class names by label; None where nothing states them.
        model_where, data_where: the checkpoint and the data, for messages.
        optional: whether the model may state none, as files of classifiers do. Names that are the numbers 0, 1, ...
            count as none then, but for their number.

    Returns:
        the data's label of each label of the model; None where they are the same.

    Raises:
        InputError: other names, another number, or a model that states none.
    """
    if data is None or (model is None and optional):
        return None
    if model is None:
        raise InputError(
            f"expected the class names in the meta of {model_where}, got none, so it is unknown whether "
            f"its labels are those of {data_where} ({shown(data)}). {RENAME}."
        )
    model, data = tuple(model), tuple(data)
    unnamed = optional and len(model) == len(data) and (_is_numbers(model) or _is_numbers(data))
    if model == data or unnamed:
        return None
    if sorted(model) == sorted(data) and len(set(model)) == len(model):
        places = {name: label for label, name in enumerate(data)}
        return tuple(places[name] for name in model)
    only = [
        f"only in {where}: {shown(names)}"
        for where, names in (
            ("the checkpoint", [name for name in model if name not in set(data)]),
            ("the data", [name for name in data if name not in set(model)]),
        )
        if names
    ]
    raise InputError(
        f"expected the same classes in checkpoint and data, got others: {model_where} knows {len(model)} "
        f"({shown(model)}), {data_where} has {len(data)} ({shown(data)}); {'; '.join(only)}. Give the "
        f"data it was trained for or the checkpoint of these data; {RENAME}."
    )


def refuse_other_order(
    model: Sequence[str] | None, data: Sequence[str] | None, model_where: str, data_where: str, optional: bool = False
) -> None:
    """As :func:`order_of`, where labels cannot be matched afterwards, as in training: the order must be the same.

    Raises:
        InputError: other names, another number or another order.
    """
    if order_of(model, data, model_where, data_where, optional) is not None:
        raise InputError(
            f"expected the classes of {model_where} in their order ({shown(model)}), got another one in "
            f"{data_where} ({shown(data)}): each label would mean another class. Give the data the first "
            "order, for training and for evaluation: metainfo=dict(classes=(...)), classes=(...) of "
            "classification data."
        )


def shown(names: Iterable[str]) -> str:
    """Names for a message, shortened."""
    names = list(names)
    return few(map(repr, names), _SHOWN) + (f" ({len(names)})" if len(names) > _SHOWN else "")


def _is_numbers(classes: tuple[str, ...]) -> bool:
    """Whether these are the names of classes that have none: '0', '1', ..."""
    return classes == tuple(map(str, range(len(classes))))
