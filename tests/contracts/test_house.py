"""Contracts of the house: import direction, names in tools/, no heavy import, commands and types that stay."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "frozen_det"

# Who may import whom: a room's level may import levels below it (larger numbers) and itself.
LEVELS = [
    {"cli"},
    {"robustness"},
    {"workflows", "benchmarks", "advisor"},
    {"inference", "upstream"},
    {"engine", "export", "reports"},
    {"models"},
    {"datasets"},
    {"evaluation", "pages"},
    {"config", "weights"},
    {"registry"},
    {"host"},
    {"ops", "plugins", "text_files"},
    {"_moved"},
]
MOST_MODULES = 22  # of a folder: more cannot be read at a glance
ANYWHERE = {"errors", "__init__", "frozen_det"}


def _level(name: str) -> int | None:
    return next((i for i, names in enumerate(LEVELS) if name in names), None)


def _imported(path: Path):
    """(line, first part below frozen_det) of every import of our own package in a file."""
    inside = path.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = list(inside[:-1])[: len(inside) - node.level] + (node.module.split(".") if node.module else [])
            if base:
                yield node.lineno, base[0]
            else:
                yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("frozen_det."):
            yield node.lineno, node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, a.name.split(".")[1]) for a in node.names if a.name.startswith("frozen_det."))


def test_imports_go_down_only():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own in ANYWHERE:
            continue
        assert _level(own) is not None, f"{path} has no level: add it to LEVELS and to CONTRIBUTING.md"
        for line, name in _imported(path):
            level = _level(name)
            if name not in ANYWHERE and level is not None and level < _level(own):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


def _rooms() -> dict[str, set[str]]:
    """Which sub-packages each sub-package imports. What gathers a package (its own `__init__`) is left out."""
    folders = {".".join(path.parent.relative_to(PACKAGE).parts): path.parent for path in PACKAGE.rglob("__init__.py")}
    found = {name: set() for name in folders if name}
    for path in sorted(PACKAGE.rglob("*.py")):
        own = ".".join(path.parent.relative_to(PACKAGE).parts)
        if path.name == "__init__.py" or not own:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                parts = own.split(".")
                base = parts[: len(parts) - node.level + 1] + (node.module or "").split(".")
                for name in [".".join(part for part in [*base, alias.name] if part) for alias in node.names]:
                    while name and name not in folders:
                        name = name.rpartition(".")[0]
                    if name and name != own:
                        found[own].add(name)
    return found


def test_no_two_rooms_import_each_other():
    graph, done, cycles = _rooms(), set(), []

    def visit(room, above):
        if room in above:
            cycles.append([*above[above.index(room) :], room])
        elif room not in done:
            for other in sorted(graph[room]):
                visit(other, [*above, room])
            done.add(room)

    for room in sorted(graph):
        visit(room, [])
    assert cycles == []


def test_no_folder_holds_more_modules_than_one_reads_at_a_glance():
    counts = {
        path.parent: len([one for one in path.parent.glob("*.py") if one.name != "__init__.py"])
        for path in PACKAGE.rglob("__init__.py")
    }
    assert {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_no_file_is_longer_than_four_hundred_lines():
    files = [path for folder in ("frozen_det", "tests", "configs", "tools") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > 400] == []


@pytest.mark.parametrize(
    "old, new",
    [
        ("analysis.inference", "inference.detector"),
        ("checkpoints", "weights.loading"),
        ("models.frozen_backbone", "models.backbones.frozen_backbone"),
        ("mmcv_ops.boxes", "host.mmcv_ops.boxes"),
    ],
)
def test_an_import_path_of_before_gives_the_same_module_and_says_until_when(old, new):
    code = (
        f"import importlib, warnings; import frozen_det.{new} as new\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        f"    warnings.simplefilter('always'); old = importlib.import_module('frozen_det.{old}')\n"
        "assert old is new, (old, new)\nassert '2027-06-30' in str(seen[-1].message), seen"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_package_named_as_a_module_of_before_still_gives_what_that_had():
    from frozen_det.models import backbones
    from frozen_det.models.backbone_sources import build

    with pytest.warns(DeprecationWarning, match="backbone_sources.build.build_body"):
        assert backbones.build_body is build.build_body


def test_no_tool_hides_a_module_of_the_standard_library():
    names = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert names & set(sys.stdlib_module_names) == set()


def test_every_command_is_a_tool_and_has_help():
    from frozen_det.cli import COMMANDS

    tools = {path.stem for path in (ROOT / "tools").glob("*.py")}
    assert {verb.replace("-", "_") for verb in COMMANDS} == tools
    for name in COMMANDS.values():
        module = importlib.import_module(f"frozen_det.cli.{name}")
        assert module.__doc__ and callable(module.run) and callable(module.add_arguments)


@pytest.mark.parametrize("verb", ["train", "describe", "doctor"])
def test_a_tool_prints_help_and_exits_with_zero(verb):
    tool = str(ROOT / "tools" / f"{verb}.py")
    done = subprocess.run([sys.executable, tool, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and f"frozen-det {verb}" in done.stdout


def test_importing_the_package_loads_no_torch_and_no_host():
    code = "import frozen_det, sys; print([m for m in ('torch', 'mmdet', 'mmcv', 'numpy', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_types_resolve_by_scope_without_custom_imports():
    from frozen_det.host import startup

    code = (
        "from mmdet.registry import *; "
        "print(MODELS.get('frozen_det.FrozenBackbone'), DATASETS.get('frozen_det.CocoDataset'), "
        "HOOKS.get('frozen_det.FrozenProofHook'), METRICS.get('frozen_det.CocoMetric'))"
    )
    under_run = startup.environment(os.environ)  # as mmdet's own tools are started
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=under_run)
    assert "None" not in done.stdout.splitlines()[-1]


def test_the_contracted_types_are_registered():
    from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

    for registry, names in (
        (MODELS, ["Detector", "FrozenBackbone", "FPN", "NASFPN", "ConvNeck", "CascadeRoIHead"]),
        (DATASETS, ["CocoDataset", "ToyScenes"]),
        (TRANSFORMS, ["LargeScaleJitter", "CopyPaste"]),
        (HOOKS, ["FrozenProofHook", "LeanCheckpointHook", "UnfreezeHook"]),
        (METRICS, ["CocoMetric", "LVISMetric"]),
    ):
        assert [n for n in names if registry.get(f"frozen_det.{n}") is None] == []


def test_no_unknown_verb_is_guessed():
    from frozen_det.cli import main

    assert main(["trian"]) == 2


def committed() -> list[str]:
    """Names of the files that git knows; skips where this is no checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def test_nothing_large_is_committed_by_mistake():
    # The shipped checkpoint is the largest, 4.4 MB.
    assert [name for name in committed() if (ROOT / name).stat().st_size > 5_000_000] == []


def test_no_committed_text_names_a_path_of_one_machine():
    import re

    found = []
    for name in committed():
        path = ROOT / name
        if name.startswith(".ci/") or path.suffix in (".png", ".jpg", ".html") or not path.is_file():
            continue
        if re.search(r"(^|[\s\"'`(=])/(work|root|home)/", path.read_text(encoding="utf-8", errors="ignore")):
            found.append(name)
    assert found == []
