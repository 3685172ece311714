"""Bases stand in folders as mmdet's do; their old paths give the same config."""

import ast
from pathlib import Path

import pytest
from mmengine.config import Config

from .test_configs import CONFIGS, bases, depth

BASES = CONFIGS / "_base_"
RUNTIMES = {"default_runtime.py", "classifier_runtime.py"}
MOVED = sorted(path for path in BASES.glob("*.py") if path.name not in RUNTIMES)
SHIPPED = sorted(path for path in CONFIGS.rglob("*.py") if BASES not in path.parents)


def test_bases_stand_in_folders_named_by_what_they_set():
    assert {path.name for path in BASES.iterdir() if path.is_dir() and path.name != "__pycache__"} == {
        "models",
        "datasets",
        "schedules",
        "recipes",
    }
    assert len(MOVED) == 63


@pytest.mark.parametrize("old", MOVED, ids=lambda path: path.stem)
def test_an_old_path_of_a_base_gives_the_same_config(old):
    (new,) = bases(old)
    said = ast.get_docstring(ast.parse(old.read_text(encoding="utf-8")))
    assert said == f"Stands in {new.relative_to(BASES)} now; this path works until 2027-06-30."
    assert Config.fromfile(old).to_dict() == Config.fromfile(new).to_dict()


def test_no_shipped_config_and_no_base_takes_an_old_path():
    new = [path for path in BASES.rglob("*.py") if path not in MOVED]
    for path in [*SHIPPED, *new]:
        assert not {base.resolve() for base in bases(path)} & set(MOVED), path


@pytest.mark.parametrize("folder, most", [("", 3), ("upstream", 2), ("chain", 0)])
def test_bases_stand_at_most_so_deep(folder, most):
    for path in SHIPPED:
        if (CONFIGS / folder) in path.parents:
            assert depth(path) <= most, path


def test_a_base_says_in_its_first_line_what_it_is():
    for path in BASES.rglob("*.py"):
        assert ast.get_docstring(ast.parse(Path(path).read_text(encoding="utf-8"))), path
