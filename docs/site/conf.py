"""The pages as a site: `make docs`. Pages stay plain Markdown; what a site needs besides is added while it is built."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent

project = "frozen_det"
copyright = "frozen_det contributors"
author = "frozen_det contributors"
root_doc = "README"
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["site", "reports"]
html_theme = "furo"
html_title = "frozen_det"
html_copy_source = False
myst_heading_anchors = 4


def navigation(readme: str) -> str:
    """A hidden table of contents for each heading of the index, from the links that stand below it."""
    parts = re.split(r"(?m)^## (.+)$", readme)
    trees = []
    for title, body in zip(parts[1::2], parts[2::2]):
        pages = "\n".join(re.findall(r"\]\(([a-z_]+)\.md\)", body))
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```")
    return "\n\n".join(trees)


def _page(app, name: str, source: list[str]) -> None:
    """Files outside docs/ are no pages of the site: their names stay, without a link."""
    text = re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", source[0])
    source[0] = f"{text}\n\n{navigation(text)}\n" if name == "README" else text


def setup(app) -> None:
    app.connect("source-read", _page)
