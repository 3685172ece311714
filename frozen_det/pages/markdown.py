"""The same report as Markdown: tables as text, curves and pictures as files in a folder beside it.

A page's words are words: what would be markup in a name of a class, a run or a file is escaped.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from .blocks import Page


def markdown_page(page: "Page", folder: Path) -> str:
    """The page as Markdown text; curves (SVG) and pictures (JPEG) are written into ``folder``, linked relatively."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {words(page.title)}", paragraph(page.subtitle)]
    for section in page.sections:
        parts.append(f"## {words(section.title)}")
        parts += [block.markdown(folder) for block in section.blocks]
    parts.append(f"---\n{paragraph(page.footer.replace('; one file, nothing is loaded from elsewhere', ''))}")
    return "\n\n".join(part for part in parts if part) + "\n"


def words(text: str) -> str:
    """A text on one line, in which nothing is Markdown or HTML any more."""
    return re.sub(
        r"[\\`*|$\x00-\x1f]|<(?=[A-Za-z/!?])|~(?=~)|&(?=#|\w+;)|(?<!\w)_|_(?!\w)|](?=[(\[:])",
        _escaped,
        " ".join(text.splitlines()),
    )


def paragraph(text: str) -> str:
    """Words that are neither a heading, a quotation, an item of a list nor a rule."""
    return re.sub(r"^(?=#{1,6}\s|>|[-+]\s|-{3})|(?<=^\d)(?=[.)]\s)", r"\\", words(text).strip())


def _escaped(found: re.Match) -> str:
    char = found[0]
    return {"<": "&lt;", "&": "&amp;"}.get(char, " " if char < " " else f"\\{char}")


def table_line(cells: Iterable[str]) -> str:
    """A line of a table, its cells words."""
    return line([words(cell) for cell in cells])


def image(caption: str, folder: Path, name: str) -> str:
    """A link to the picture `name` in the folder beside the page."""
    alone = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", words(caption))  # brackets would end the caption
    return f"![{alone}]({quote(f'{folder.name}/{name}')})"


def copied(path: Path, folder: Path) -> str:
    """Name of the picture below ``folder``, copied there unless it is there."""
    if folder in path.parents:
        return path.relative_to(folder).as_posix()
    # Runs draw the same images: the digest of the whole path keeps their pictures apart.
    place = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:6]
    name = f"{path.parent.name}_{place}_{path.name}"
    shutil.copyfile(path, folder / name)
    return name


def line(cells: list[str]) -> str:
    """A line of a table, its cells as they are."""
    return "| " + " | ".join(cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose cells are Markdown.

    Args:
        head: names of the columns.
        rows: cells; a row of fewer ends in empty ones.
        left: so many columns are words, to the left; the others are numbers, to the right.
    """
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    filled = ([*row, *[""] * (len(head) - len(row))] for row in rows)
    return "\n".join([line(list(head)), line(marks), *map(line, filled)])
