"""The same report as Markdown: tables as text, curves and pictures as files in a folder beside it.

A page's words are words: what would be markup in a name of a class, a run or a file is escaped.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from ..weights.atomic_write import write_text
from .blocks import Code, Figure, KeyFigures, Page, Pairs, Picture, Table, Text


def markdown_page(page: Page, folder: Path) -> str:
    """The page as Markdown text; curves (SVG) and pictures (JPEG) are written into ``folder``, linked relatively."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {words(page.title)}", _paragraph(page.subtitle)]
    for section in page.sections:
        parts.append(f"## {words(section.title)}")
        parts += [_block(block, folder) for block in section.blocks]
    parts.append(f"---\n{_paragraph(page.footer.replace('; one file, nothing is loaded from elsewhere', ''))}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: object, folder: Path) -> str:
    if isinstance(block, Text):
        return _paragraph(block.text)
    if isinstance(block, KeyFigures):
        return "\n".join(f"- **{words(value) or '–'}** {words(what)}" for value, what in block.figures)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        path = folder / f"{block.name}.svg"
        # A file of its own has no page whose colour it could take.
        write_text(path, block.svg.replace("<svg ", '<svg style="color: #555" ', 1))
        return _image(block.caption, folder, path.name)
    if isinstance(block, Pairs):
        lines = [f"Left {words(block.left)}, right {words(block.right)}."]
        lines += [_image(pair.caption, folder, _copied(pair.path, folder)) for pair in block.pairs]
        return "\n\n".join(lines)
    if isinstance(block, Picture):
        return _image(block.caption, folder, _copied(block.path, folder))
    assert isinstance(block, Code)
    marks = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))  # more than the text has
    fence = f"{marks}\n{block.text}\n{marks}"
    if not block.summary:
        return fence
    return f"<details><summary>{escape(' '.join(block.summary.splitlines()))}</summary>\n\n{fence}\n\n</details>"


def words(text: str) -> str:
    """A text on one line, in which nothing is Markdown or HTML any more."""
    return re.sub(
        r"[\\`*|$\x00-\x1f]|<(?=[A-Za-z/!?])|~(?=~)|&(?=#|\w+;)|(?<!\w)_|_(?!\w)|](?=[(\[:])",
        _escaped,
        " ".join(text.splitlines()),
    )


def _paragraph(text: str) -> str:
    """Words that are neither a heading, a quotation, an item of a list nor a rule."""
    return re.sub(r"^(?=#{1,6}\s|>|[-+]\s|-{3})|(?<=^\d)(?=[.)]\s)", r"\\", words(text).strip())


def _escaped(found: re.Match) -> str:
    char = found[0]
    return {"<": "&lt;", "&": "&amp;"}.get(char, " " if char < " " else f"\\{char}")


def table_line(cells: Iterable[str]) -> str:
    """A line of a table, its cells words."""
    return _line([words(cell) for cell in cells])


def _image(caption: str, folder: Path, name: str) -> str:
    alone = re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", words(caption))  # brackets would end the caption
    return f"![{alone}]({quote(f'{folder.name}/{name}')})"


def _copied(path: Path, folder: Path) -> str:
    """Name of the picture below ``folder``, copied there unless it lies there."""
    if folder in path.parents:
        return path.relative_to(folder).as_posix()
    # Runs draw the same images: the digest of the whole path keeps their pictures apart.
    place = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:6]
    name = f"{path.parent.name}_{place}_{path.name}"
    shutil.copyfile(path, folder / name)
    return name


def _table(block: Table) -> str:
    marks = [":--" if column < block.num_left else "--:" for column in range(len(block.header))]
    rows = [
        [_cell(cell, (number, column) in block.best) for column, cell in enumerate(row)]
        for number, row in enumerate(block.rows)
    ]
    lines = [table_line(block.header), _line(marks), *(_line(row) for row in rows)]
    return "\n".join(lines) + (f"\n\n{_paragraph(block.caption)}" if block.caption else "")


def _cell(cell: str, best: bool) -> str:
    text = words(cell) or "–"
    return f"**{text}**" if best else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
