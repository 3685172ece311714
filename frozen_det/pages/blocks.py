"""The kinds of block a page is made of. Each is one class that knows its HTML and its Markdown, so that both say alike.

A further kind is a subclass of :class:`Block`; the pages need not know of it.
"""

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import ClassVar

from ..weights.atomic_write import write_text
from .markdown import copied, image, line, paragraph, table_line, words
from .pictures import data_uri

MISSING = ""  # a cell without a value; the pages show a dash


class Block:
    """One part of a section.

    Attributes:
        side_by_side: whether neighbours of this kind share a row of the HTML page where there is room.
    """

    side_by_side: ClassVar[bool] = False

    def html(self) -> str:
        """The block as HTML; nothing in it is loaded from elsewhere."""
        raise NotImplementedError

    def markdown(self, folder: Path) -> str:
        """The block as Markdown; files that it needs go to `folder`, beside the page."""
        raise NotImplementedError


@dataclass
class Text(Block):
    """A paragraph. ``note`` is set smaller, for what a reader may skip."""

    text: str
    note: bool = False

    def html(self) -> str:
        return f"<p{' class=note' if self.note else ''}>{escape(self.text)}</p>"

    def markdown(self, folder: Path) -> str:
        return paragraph(self.text)


@dataclass
class KeyFigures(Block):
    """A few headline numbers: (value, what it is)."""

    figures: list[tuple[str, str]]

    def html(self) -> str:
        cells = "".join(
            f"<div><b>{escape(value) or '–'}</b><span>{escape(what)}</span></div>" for value, what in self.figures
        )
        return f'<div class="figures">{cells}</div>'

    def markdown(self, folder: Path) -> str:
        return "\n".join(f"- **{words(value) or '–'}** {words(what)}" for value, what in self.figures)


@dataclass
class Table(Block):
    """A table; the first ``num_left`` columns are words (left), the others numbers (right).

    Attributes:
        header: column names.
        rows: cells as text; an empty cell is a missing value.
        caption: what it shows.
        rule_before: rows above which a thin rule is drawn.
        best: (row, column) cells set in bold.
    """

    header: list[str]
    rows: list[list[str]]
    caption: str = ""
    num_left: int = 1
    rule_before: list[int] = field(default_factory=list)
    best: set[tuple[int, int]] = field(default_factory=set)

    def html(self) -> str:
        head = "".join(f"<th{self._head_class(column)}>{escape(name)}</th>" for column, name in enumerate(self.header))
        head = f"<thead><tr>{head}</tr></thead>" if any(self.header) else ""
        rows = []
        for number, row in enumerate(self.rows):
            cells = "".join(
                self._html_cell(cell, column, (number, column) in self.best) for column, cell in enumerate(row)
            )
            rows.append(f"<tr{' class=rule' if number in self.rule_before else ''}>{cells}</tr>")
        caption = f'<p class="caption">{escape(self.caption)}</p>' if self.caption else ""
        return (
            f'<div class="table"><div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'
            f"{caption}</div>"
        )

    def _html_cell(self, cell: str, column: int, best: bool) -> str:
        if cell == MISSING:
            return f'<td class="none{" word" if column < self.num_left else ""}">–</td>'
        text = f"<b>{escape(cell)}</b>" if best else escape(cell)
        if column < self.num_left:
            return f'<td class="word{" long" if len(cell) > 32 else ""}">{text}</td>'
        return f"<td>{text}</td>"

    def _head_class(self, column: int) -> str:
        names = ["word"] * (column < self.num_left) + ["long"] * (len(self.header[column]) > 16)
        return f' class="{" ".join(names)}"' if names else ""

    def markdown(self, folder: Path) -> str:
        marks = [":--" if column < self.num_left else "--:" for column in range(len(self.header))]
        cells = [[words(cell) or "–" for cell in row] for row in self.rows]
        for row, column in self.best:
            cells[row][column] = f"**{cells[row][column]}**"
        lines = [table_line(self.header), line(marks), *map(line, cells)]
        return "\n".join(lines) + (f"\n\n{paragraph(self.caption)}" if self.caption else "")


@dataclass
class Figure(Block):
    """A drawing as SVG text whose ink is ``currentColor``; a ``wide`` one has a row of its own."""

    svg: str
    caption: str
    name: str
    wide: bool = False

    @property
    def side_by_side(self) -> bool:  # type: ignore[override]
        return not self.wide

    def html(self) -> str:
        return f"<figure{' class=wide' * self.wide}>{self.svg}<figcaption>{escape(self.caption)}</figcaption></figure>"

    def markdown(self, folder: Path) -> str:
        path = folder / f"{self.name}.svg"
        # A file of its own has no page whose colour it could take.
        write_text(path, self.svg.replace("<svg ", '<svg style="color: #555" ', 1))
        return image(self.caption, folder, path.name)


@dataclass
class Pair:
    """One picture, ground truth left and predictions right."""

    path: Path
    caption: str


@dataclass
class Pairs(Block):
    """Pictures with the words above their halves."""

    pairs: list[Pair]
    left: str
    right: str

    def html(self) -> str:
        halves = f'<div class="halves"><span>{escape(self.left)}</span><span>{escape(self.right)}</span></div>'
        figures = "".join(
            f'<figure>{halves}<img src="{data_uri(pair.path)}" alt="{escape(self.left)} beside {escape(self.right)}, '
            f'{escape(pair.caption)}"><figcaption>{escape(pair.caption)}</figcaption></figure>'
            for pair in self.pairs
        )
        return f'<div class="pairs">{figures}</div>'

    def markdown(self, folder: Path) -> str:
        lines = [f"Left {words(self.left)}, right {words(self.right)}."]
        return "\n\n".join([*lines, *(image(pair.caption, folder, copied(pair.path, folder)) for pair in self.pairs)])


@dataclass
class Picture(Block):
    """One picture over the whole width."""

    path: Path
    caption: str

    def html(self) -> str:
        return (
            f'<figure class="wide"><img src="{data_uri(self.path)}" alt="{escape(self.caption)}">'
            f"<figcaption>{escape(self.caption)}</figcaption></figure>"
        )

    def markdown(self, folder: Path) -> str:
        return image(self.caption, folder, copied(self.path, folder))


@dataclass
class Code(Block):
    """Commands or a file, word for word; ``summary`` folds it away behind a line."""

    text: str
    summary: str | None = None

    def html(self) -> str:
        text = f"<pre>{escape(self.text)}</pre>"
        return f"<details><summary>{escape(self.summary)}</summary>{text}</details>" if self.summary else text

    def markdown(self, folder: Path) -> str:
        marks = "`" * max(3, 1 + max(map(len, re.findall("`+", self.text)), default=0))  # more than the text has
        fence = f"{marks}\n{self.text}\n{marks}"
        if not self.summary:
            return fence
        return f"<details><summary>{escape(' '.join(self.summary.splitlines()))}</summary>\n\n{fence}\n\n</details>"


@dataclass
class Section:
    """A heading and its blocks."""

    title: str
    blocks: list[Block]


@dataclass
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: list[Section]
    footer: str = ""
