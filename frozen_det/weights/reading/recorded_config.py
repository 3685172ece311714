"""The config that a run left in its folder, read as data: nothing in it is executed, imported or looked up.

The host writes it as Python, ``name = dict(type='X', size=(1, 2))``: assignments of literals, which is all that is read
here. A line that is anything else makes the file one that no run wrote.
"""

import ast
import math
from pathlib import Path

from ...errors import InputError

_NUMBERS = {"inf": math.inf, "nan": math.nan}  # as the host writes them


def read_recorded(path):
    """Read a config that the host wrote.

    Args:
        path: ``vis_data/config.py`` or the copy in a work directory.

    Returns:
        an `mmengine.Config` with `filename` set and its text as written.

    Raises:
        InputError: something else than assignments of literals, with the line.
    """
    try:
        return parse_recorded(Path(path).read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise InputError(f"expected the config that a run wrote in {path}, but it is no text ({error}).") from error


def parse_recorded(text: str, path):
    """As :func:`read_recorded`, of the text of the file `path`."""
    from mmengine.config import Config

    try:
        content = {name: value for statement in ast.parse(text).body for name, value in _assigned(statement)}
        return Config(content, cfg_text=text, filename=str(path))
    except _NotALiteral as error:
        raise InputError(
            f"expected the config that a run wrote in {path}, assignments of plain values, but line "
            f"{error.args[0]} is something else. Nothing was run. If you wrote that file and trust it, "
            "give it as a config: CONFIG:CHECKPOINT."
        ) from error
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        first = (str(error).strip() or "no detail").splitlines()[0]
        raise InputError(
            f"expected the config that a run wrote in {path}, but it cannot be read ({type(error).__name__}: {first})."
        ) from error


class _NotALiteral(Exception):
    """Holds the line."""


def _assigned(statement):
    """(name, value) of an assignment; nothing of a docstring."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
    if not isinstance(target, ast.Name) or target.id == "_base_":
        raise _NotALiteral(statement.lineno)
    yield target.id, _literal(statement.value)


def _literal(node):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Set):
        return {_literal(item) for item in node.elts}
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _called(node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _literal(node.operand)
        if type(value) in (int, float):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Name) and node.id in _NUMBERS:
        return _NUMBERS[node.id]
    raise _NotALiteral(getattr(node, "lineno", "?"))


def _called(node: ast.Call):
    """``dict(a=..., b=...)``, ``dict({'a-b': ...})`` and ``set()``: the calls that the host writes."""
    if node.func.id == "set" and not node.args and not node.keywords:
        return set()
    plain = all(isinstance(arg, ast.Dict) for arg in node.args) and all(word.arg is not None for word in node.keywords)
    if node.func.id != "dict" or len(node.args) > 1 or not plain:
        raise _NotALiteral(node.lineno)
    first = _literal(node.args[0]) if node.args else {}
    return {**first, **{word.arg: _literal(word.value) for word in node.keywords}}
