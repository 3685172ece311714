"""The typed parts of a detector's config: their classes, accepted arguments, and an iterator over all of them.

A part is a dict with a `type` registered in mmdet or here. Parts with their own backbone (`backbone`, a teacher) or
outside the decoder (`data_preprocessor`, `train_cfg`, `test_cfg`) are skipped.
"""

import inspect
from collections.abc import Iterator

from ...host.signatures import accepted_arguments, argument_of

_APART = ("backbone", "neck", "data_preprocessor", "train_cfg", "test_cfg", "init_cfg")


def is_apart(key: str) -> bool:
    """Whether the value under a key of a detector does not depend on its backbone; a teacher has its own."""
    return key in _APART or key.startswith("teacher")


def class_of(part) -> type | None:
    """The class named by a part's `type`; None for anything else or an unknown type."""
    from mmdet.registry import MODELS, TASK_UTILS

    kind = part.get("type") if isinstance(part, dict) else None
    if kind is None or inspect.isclass(kind):
        return kind
    found = MODELS.get(kind) or TASK_UTILS.get(kind)
    return found if inspect.isclass(found) else None


def takes(kind: type, name: str) -> bool:
    """Whether a class accepts a keyword argument, itself or in a class that it passes ``**kwargs`` to."""
    accepted = accepted_arguments(kind)
    return argument_of(kind, name) is not None if accepted is None else name in accepted


def has_default(kind: type, name: str, value) -> bool:
    """Whether a class's argument has this default."""
    argument = argument_of(kind, name)
    return argument is not None and argument.default is not inspect.Parameter.empty and argument.default == value


def walk(node, where: str, owners: tuple = ()) -> Iterator[tuple[dict, type, str, tuple]]:
    """Every part below a node, itself included.

    Args:
        node: a dict or list; its dicts are yielded without a copy, so that they can be modified.
        where: its place in the config, for messages.
        owners: classes of the parts around it, outermost first.

    Yields:
        the part, its class, its place, and the classes of the parts around it.
    """
    if isinstance(node, dict):
        kind = class_of(node)
        if kind is not None:
            yield node, kind, where, owners
            owners = (*owners, kind)
        for key, value in list(node.items()):
            if not is_apart(key):
                yield from walk(value, f"{where}.{key}", owners)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from walk(value, f"{where}.{index}", owners)
