"""The few kinds of block a report is made of, so that the HTML and the Markdown page say the same."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Text:
    """A paragraph. ``note`` is set smaller, for what a reader may skip."""

    text: str
    note: bool = False


@dataclass
class KeyFigures:
    """A few headline numbers: (value, what it is)."""

    figures: list[tuple[str, str]]


@dataclass
class Table:
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


@dataclass
class Figure:
    """A drawing as SVG text whose ink is ``currentColor``."""

    svg: str
    caption: str
    name: str


@dataclass
class Pair:
    """One picture, ground truth left and predictions right."""

    path: Path
    caption: str


@dataclass
class Pairs:
    """Pictures with the words above their halves."""

    pairs: list[Pair]
    left: str
    right: str


@dataclass
class Picture:
    """One picture over the whole width."""

    path: Path
    caption: str


@dataclass
class Code:
    """Commands or a file, word for word; ``summary`` folds it away behind a line."""

    text: str
    summary: str | None = None


@dataclass
class Section:
    """A heading and its blocks."""

    title: str
    blocks: list


@dataclass
class Page:
    """A whole report."""

    title: str
    subtitle: str
    sections: list[Section]
    footer: str = ""


MISSING = ""  # a cell without a value; the pages show a dash
