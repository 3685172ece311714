"""The config that a checkpoint was written under, read without running it, and what differs from another one.

mmengine stores it as the text of a Python file. Here only literals and ``dict(...)`` are understood; whatever else
stands in it is kept as its text and differs from nothing.
"""

import ast
from collections.abc import Iterator, Mapping


class Unread(str):
    """A value that is no literal, as its text."""


def settings_of_text(text: str) -> dict | None:
    """Top-level assignments of a dumped config; None if it cannot be parsed."""
    try:
        return {
            node.targets[0].id: _value(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
        return None


def differences(before, now, path: str = "") -> Iterator[tuple[str, object, object]]:
    """(dotted path, value before, value now) of all that differs; a key that is absent counts as None."""
    before, now = _plain(before), _plain(now)
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from differences(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (one, other) in enumerate(zip(before, now)):
            yield from differences(one, other, f"{path}.{place}")
    elif before != now and not isinstance(before, Unread) and not isinstance(now, Unread):
        yield path, before, now


def _value(node: ast.expr):
    """A literal, or a ``dict(...)`` of such values."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Unread(ast.unparse(node))


def _plain(value):
    """Tuples as lists; what no dump writes as a literal as its text."""
    if isinstance(value, tuple | list):
        return list(value)
    if value is None or isinstance(value, str | int | float | Mapping):
        return value
    return Unread(value)
