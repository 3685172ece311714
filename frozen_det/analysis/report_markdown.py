"""The same report as Markdown: tables as text, curves and pictures as files in a folder beside it."""

import hashlib
import shutil
from pathlib import Path

from .report_blocks import Code, Figure, KeyFigures, Page, Pairs, Picture, Table, Text


def markdown_page(page: Page, folder: Path) -> str:
    """The page as Markdown text; curves (SVG) and pictures (JPEG) are written into ``folder``, linked relatively."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {page.title}", page.subtitle]
    for section in page.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block, folder) for block in section.blocks]
    parts.append(f"---\n{page.footer.replace('; one file, nothing is loaded from elsewhere', '')}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block, folder: Path) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, KeyFigures):
        return "\n".join(f"- **{value or '–'}** {what}" for value, what in block.figures)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        path = folder / f"{block.name}.svg"
        # A file of its own has no page whose colour it could take.
        path.write_text(block.svg.replace("<svg ", '<svg style="color: #555" ', 1), encoding="utf-8")
        return f"![{block.caption}]({folder.name}/{path.name})"
    if isinstance(block, Pairs):
        lines = [f"Left {block.left}, right {block.right}."]
        lines += [f"![{pair.caption}]({folder.name}/{_copied(pair.path, folder)})" for pair in block.pairs]
        return "\n\n".join(lines)
    if isinstance(block, Picture):
        return f"![{block.caption}]({folder.name}/{_copied(block.path, folder)})"
    assert isinstance(block, Code)
    fence = f"```\n{block.text}\n```"
    return f"<details><summary>{block.summary}</summary>\n\n{fence}\n\n</details>" if block.summary else fence


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
    rows = [[_cell(cell, (number, column) in block.best) for column, cell in enumerate(row)]
            for number, row in enumerate(block.rows)]
    lines = [_line(block.header), _line(marks), *(_line(row) for row in rows)]
    return "\n".join(lines) + (f"\n\n{block.caption}" if block.caption else "")


def _cell(cell: str, best: bool) -> str:
    text = cell.replace("|", "\\|") or "–"
    return f"**{text}**" if best else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
