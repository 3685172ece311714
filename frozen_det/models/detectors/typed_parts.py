"""The typed parts of a detector's config: their classes, what these take, and a walk over all of them.

A part is a dict with a `type` that mmdet or this package registers. What has a body of its own (`backbone`, a teacher)
or is no part of the decoder (`data_preprocessor`, `train_cfg`, `test_cfg`) is not walked.
"""

import inspect
from collections.abc import Iterator

from ...host.signatures import accepted_arguments, argument_of

_APART = ("backbone", "neck", "data_preprocessor", "train_cfg", "test_cfg", "init_cfg")


def is_apart(key: str) -> bool:
    """Whether the value under a key of a detector does not follow from its body: a teacher brings its own."""
    return key in _APART or key.startswith("teacher")


def class_of(part) -> type | None:
    """The class that a part's `type` names; None for what is no part, or unknown."""
    from mmdet.registry import MODELS, TASK_UTILS

    kind = part.get("type") if isinstance(part, dict) else None
    if kind is None or inspect.isclass(kind):
        return kind
    found = MODELS.get(kind) or TASK_UTILS.get(kind)
    return found if inspect.isclass(found) else None


def takes(kind: type, name: str) -> bool:
    """Whether a class takes an argument by name, itself or in a class that it passes the rest to."""
    accepted = accepted_arguments(kind)
    return argument_of(kind, name) is not None if accepted is None else name in accepted


def has_default(kind: type, name: str, value) -> bool:
    """Whether a class's argument has this default."""
    argument = argument_of(kind, name)
    return argument is not None and argument.default is not inspect.Parameter.empty and argument.default == value


def walk(node, where: str, owners: tuple = ()) -> Iterator[tuple[dict, type, str, tuple]]:
    """Every part below a node, itself included.

    Args:
        node: a dict or list; its dicts are yielded themselves, so that they may be changed.
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
