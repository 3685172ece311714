"""Reads a config file and its bases by mmengine, and remembers file by file what each one sets and uses.

mmengine evaluates a base before its child, so what a base computes from `image_size` keeps the base's own value
whatever a child or the command line says. :func:`read` can evaluate the files again with other values: behind each
statement that sets a name, the wanted value is set. Nothing is searched and replaced. Configs in mmengine's
lazy-import style are read as they are; of them only the file itself is looked at.
"""

import ast
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

_PLACEHOLDER = re.compile(r"_([\w.]+)_[0-9a-f]{6}")  # what mmengine writes for {{_base_.x}} while it reads a file
_ONE_AT_A_TIME = threading.RLock()


@dataclass
class ConfigFile:
    """One file of a chain: the names it sets and uses at the top level, and its values with its bases merged in."""

    path: str
    sets: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    sets_in_base: set[str] = field(default_factory=set)  # by _base_.x = ... or _base_.x.y = ...
    uses_of_base: set[str] = field(default_factory=set)  # by _base_.x or {{_base_.x}}
    uses_of_base_for_others: set[str] = field(default_factory=set)  # for more than to set the name itself again
    values: dict = field(default_factory=dict)


def read(path: Path, pinned: Mapping[str, Mapping[str, object]] | None = None) -> tuple[object, list[ConfigFile]]:
    """Evaluate a config.

    Args:
        path: of the config file.
        pinned: file -> name -> value that this name gets in this file, whatever the file says.

    Returns:
        mmengine's Config, and the files of its chain, every base before its children.

    Raises:
        InputError: a file that mmengine cannot read.
    """
    from mmengine.config import Config

    files: list[ConfigFile] = []
    try:
        with _ONE_AT_A_TIME, _watched(files, pinned or {}):
            cfg = Config.fromfile(str(path))
            for name in cfg:
                cfg[name]  # an import of the lazy style fails only here
            return cfg, files or [_lazy_file(path, cfg)]
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # `exit()` in a config would end the command as if it had succeeded
        lines = (str(error).strip() or "no detail").splitlines()
        text = next((line.strip() for line in lines if line.strip()), "no detail")
        raise InputError(
            f"expected a config that mmengine can read in {path}: {type(error).__name__}: {text}"
        ) from error


def _lazy_file(path: Path, cfg) -> ConfigFile:
    """The one file that is looked at of a config in the lazy style; its bases are modules, which are imported."""
    file = ConfigFile(os.path.abspath(path), values=cfg.to_dict())
    _look_at(ast.parse(Path(path).read_text(encoding="utf-8")), file)
    return file


@contextmanager
def _watched(files: list[ConfigFile], pinned: Mapping) -> Iterator[None]:
    """Let mmengine report each file it evaluates, and set the pinned values in it."""
    from mmengine.config import config as host

    one_file, without_base = host.Config._file2dict, host.RemoveAssignFromAST
    stack: list[ConfigFile] = []

    def read_one(filename, *args, **kwargs):
        stack.append(ConfigFile(os.path.abspath(os.path.expanduser(filename))))
        try:
            result = one_file(filename, *args, **kwargs)
        finally:
            file = stack.pop()
        file.values = dict(result[0])
        if not file.path.endswith(".py"):
            file.sets = set(file.values)
        files.append(file)
        return result

    class Pinned(without_base):
        def visit(self, node):
            if isinstance(node, ast.Module):
                _check_bases(node, stack[-1].path)
            node = super().visit(node)
            if isinstance(node, ast.Module):
                _look_at(node, stack[-1])
                _pin(node, pinned.get(stack[-1].path, {}))
            return node

    host.Config._file2dict, host.RemoveAssignFromAST = staticmethod(read_one), Pinned
    try:
        yield
    finally:
        host.Config._file2dict, host.RemoveAssignFromAST = staticmethod(one_file), without_base


def _check_bases(tree: ast.Module, path: str) -> None:
    """mmengine takes the first `_base_ = ...` at the top level, and silently drops any other."""
    named = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "_base_" and isinstance(node.ctx, ast.Store)
    ]
    plain = [one for one in tree.body if isinstance(one, ast.Assign) and any(target in named for target in one.targets)]
    if len(named) > len(plain) or len(plain) > 1:
        raise InputError(
            f"{path}: expected one `_base_ = ...` at the top level, got {len(named)}. Name all bases in one list."
        )


def _look_at(tree: ast.Module, file: ConfigFile) -> None:
    for statement in tree.body:
        changed = set_names(statement)
        file.sets |= changed
        nodes = list(ast.walk(statement))
        loads = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        # `a.append(1)` and `a = a + [1]` alone are no use of a.
        file.uses |= loads if len(changed) != 1 else loads - changed
        targets = {
            id(part)
            for node in nodes
            if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
            for part in ast.walk(node)
        }
        of_base = [
            node
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_base_"
        ]
        file.sets_in_base |= {node.attr for node in of_base if id(node) in targets}
        asked = {node.attr for node in of_base if id(node) not in targets}
        asked |= {
            found[1].split(".")[0]
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (found := _PLACEHOLDER.fullmatch(node.value))
        }
        file.uses_of_base |= asked
        file.uses_of_base_for_others |= asked - changed if len(changed) == 1 else asked


def set_names(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement sets or changes in place: ``a = 1``, ``a[0] = 1``, ``a.append(1)``."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return set()
    found = {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    found |= {
        root
        for node in ast.walk(statement)
        if isinstance(node, ast.Subscript | ast.Attribute)
        and isinstance(node.ctx, ast.Store | ast.Del)
        and (root := _root(node))
    }
    if (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and (root := _root(statement.value.func))
    ):
        found.add(root)
    return found


def _root(node) -> str | None:
    """The name that ``a[0].b`` starts with."""
    inner = node
    while isinstance(inner, ast.Subscript | ast.Attribute):
        inner = inner.value
    return inner.id if inner is not node and isinstance(inner, ast.Name) else None


def _pin(tree: ast.Module, values: Mapping[str, object]) -> None:
    body = []
    for statement in tree.body:
        body.append(statement)
        for name in sorted(set_names(statement) & set(values)):
            body.append(ast.Assign([ast.Name(name, ast.Store())], _literal(name, values[name])))
    tree.body = body
    ast.fix_missing_locations(tree)


def _literal(name: str, value) -> ast.expr:
    try:
        return ast.parse(repr(_plain(value)), mode="eval").body
    except SyntaxError as error:
        raise InputError(f"expected a plain value (number, text, list, dict) for {name}, got {value!r}.") from error


def _plain(value):
    if hasattr(value, "items"):
        return {key: _plain(one) for key, one in value.items()}
    return type(value)(_plain(one) for one in value) if type(value) in (list, tuple) else value
