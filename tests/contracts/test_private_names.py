"""A name with a leading underscore belongs to its file: no other file of the package imports it or reads it there."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "frozen_det"
MODULES = {path.stem for path in PACKAGE.rglob("*.py")} | {path.parent.name for path in PACKAGE.rglob("__init__.py")}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_moved"  # the shim of old import paths


def borrowed(source: str) -> set[str]:
    """Private names that a file takes from others of the package, by import or through an imported module."""
    tree = ast.parse(source)
    own = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "frozen_det")
    ]
    imported = {alias.name for node in own for alias in node.names if _is_private(alias.name)}
    modules = {alias.asname or alias.name for node in own for alias in node.names if alias.name in MODULES}
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    return imported | {name for name in read if _is_private(name)}


def test_no_file_takes_a_private_name_from_another():
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in borrowed(path.read_text(encoding="utf-8"))
    }
    assert sorted(found) == []


def test_an_import_and_a_look_into_a_module_are_both_seen():
    assert borrowed("from ..x import _a, b") == {"_a"}
    assert borrowed("from frozen_det.x import _a") == {"_a"}
    assert borrowed("from ..config import reading\nreading._b(); reading.c") == {"_b"}
    assert borrowed("from x import _a\nself._b; import y; y._c\nfrom .. import __version__") == set()
