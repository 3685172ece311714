"""What the package imports is declared, and its version stands in one place."""

import ast
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[2]
# Module -> distribution, where the names differ. OpenCV comes with every mmcv, which says which of its builds.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "onedl-mmcv",
    "faster_coco_eval": "faster-coco-eval",
    "imagecorruptions": "imagecorruptions-imaug",
    "mmcv": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmengine": "onedl-mmengine",
    "pytorch_grad_cam": "grad-cam",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def _imports(tree: ast.AST, at_import: bool) -> set[str]:
    """Top-level names of packages that a file imports; of a whole file, or only what runs when it is imported."""
    found, nodes = set(), list(ast.iter_child_nodes(tree))
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
        elif not (at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            nodes += ast.iter_child_nodes(node)
    return found - set(sys.stdlib_module_names) - {"frozen_det"}


def _imported(at_import: bool) -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "frozen_det").rglob("*.py")]
    return {DISTRIBUTIONS.get(name, name) for tree in trees for name in _imports(tree, at_import)}


def _names(requirements) -> set[str]:
    return {re.match(r"[\w-]+", text)[0].lower() for text in requirements}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_package_that_is_imported_is_declared(project):
    extras = project["optional-dependencies"]
    declared = _names(project["dependencies"]) | _names(text for texts in extras.values() for text in texts)
    assert sorted(_imported(at_import=False) - declared) == []


def test_what_a_module_imports_at_its_top_needs_no_extra_but_the_host(project):
    declared = _names(project["dependencies"]) | _names(project["optional-dependencies"]["onedl"])
    assert sorted(_imported(at_import=True) - declared) == []


def test_every_requirement_is_among_the_tested_versions(project):
    pinned = _names(line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    extras = {name: texts for name, texts in project["optional-dependencies"].items() if name != "openmmlab"}
    wanted = _names(project["dependencies"]) | _names(text for texts in extras.values() for text in texts)
    assert sorted(wanted - pinned) == []


def test_the_version_is_in_the_package_alone(project):
    assert "version" in project["dynamic"] and "version" not in project
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("setup.py", "pyproject.toml")]
    assert not any(re.search(r"^version *= *[\"']", text, flags=re.M) for text in texts)
    assert 'version = { attr = "frozen_det.__version__" }' in texts[1]


def test_a_wheel_holds_every_module_and_every_config(monkeypatch):
    import runpy

    import setuptools

    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "frozen_det").rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} == set(given["packages"]) - {"frozen_det.configs"}
    configs, patterns = ROOT / "configs", given["package_data"]["frozen_det.configs"]
    carried = {path for pattern in patterns for path in configs.glob(pattern)}
    assert sorted(set(configs.rglob("*.py")) - carried) == []


def test_the_index_shows_the_readme_without_links_into_the_repository(monkeypatch):
    import runpy

    import setuptools

    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    monkeypatch.chdir(ROOT)
    description = runpy.run_path("setup.py")["description"]
    assert description("![a picture](docs/x.svg)\n\nSee [a page](docs/a.md#b) and [PyTorch](https://pytorch.org).") == (
        "See a page and [PyTorch](https://pytorch.org)."
    )
    assert not re.findall(r"\]\((?!https?://)", given["long_description"])
    assert given["long_description"].startswith("# frozen_det\n\nReuse a pretrained classifier")


def test_the_citation_names_the_version_and_the_day_of_the_released_changes():
    import yaml

    from frozen_det import __version__

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__ and cited["cff-version"] == "1.2.0" and cited["license"] == "Apache-2.0"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## ([0-9.]+) \(([0-9-]+)\)$", changes, flags=re.M)
    assert released[0] == (cited["version"], cited["date-released"])
    assert changes.index("## Unreleased") < changes.index(f"## {cited['version']}")
