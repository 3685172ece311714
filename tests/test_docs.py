"""The pages name what exists: links, commands, configs, types and their arguments."""

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
GUIDES = [page for page in PAGES if page.name not in ("results.md",)]


def blocks(page: Path) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [text for language, text in found if language in ("", "python")]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


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
            if not named.isupper() and not named.startswith("my_") and named not in ("...",):
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
    """Each number stands, as a share of 1, in the lab log's line of the same arm's mean."""
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
