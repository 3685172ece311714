"""Curves as small inline SVG: text in the page's own font, ink in the page's own colour, safe in dark and light.

Matplotlib draws; what is black becomes ``currentColor``. It refuses nothing: a curve without points is left out.
"""

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from textwrap import fill, wrap
from typing import Any

# Okabe and Ito's colours (jfly.uni-koeln.de/color), which most colour-blind readers can distinguish; the blue a
# little lighter, so that all hold on white and on black; two more for many groups.
COLORS = ("#1f83c6", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a63b8", "#8a8a8a")
_DOT_BINS = 60  # over the whole range of a histogram of dots
_MOST_IN_PLACE = 4  # names that fit inside the axes; more are placed below
_LONGEST_LINE = 56  # letters of a legend's line
_LONGEST_NAME = 24  # letters beside a matrix
_INK = "#010203"


@dataclass
class Curve:
    """One line: points (x, y); ``dashed`` for the second-rank ones; ``marks`` to show each point; ``errors`` for a bar
    of that half-length at each point, ``band`` for a shade of that half-width; with a ``marker`` of matplotlib's,
    points without a line."""

    label: str
    x: list[float]
    y: list[float]
    dashed: bool = False
    marks: bool = False
    color: str | None = None
    errors: list[float] | None = None
    marker: str | None = None
    band: list[float] | None = None


@dataclass
class Plot:
    """A plot of curves with its axes' names; ``x_ticks`` names the places that get a mark; ``notes`` are words at
    points."""

    curves: list[Curve]
    x_label: str
    y_label: str
    y_from_zero: bool = False
    log_y: bool = False
    log_x: bool = False
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    notes: list[tuple[float, float, str]] = field(default_factory=list)


def draw_svg(plot: Plot, name: str, width_in: float = 4.6, height_in: float = 2.9) -> str:
    """One plot as SVG text, about 10 to 30 kB.

    Args:
        name: unique on the page; the ids inside the drawing carry it.
    """
    shown = [curve for curve in plot.curves if curve.x]
    # Two seeds of a group share a name; matplotlib leaves out those that start with a dash.
    names = {curve.label for curve in shown if not curve.label.startswith("_")}
    below = len(names) > _MOST_IN_PLACE or any(curve.marker for curve in shown)
    lines = sum(len(wrap(one, _LONGEST_LINE)) or 1 for one in names)
    with _figure(name, width_in, height_in + 0.17 * lines * below) as (axes, written):
        for number, curve in enumerate(shown):
            color = curve.color or COLORS[number % len(COLORS)]
            again = 0 if curve.color else number // len(COLORS)  # a colour comes back with another line
            line = "none" if curve.marker else "--" if curve.dashed else ("-", "-.", ":")[again % 3]
            axes.plot(
                curve.x,
                curve.y,
                label=curve.label if curve.label.startswith("_") else fill(curve.label, _LONGEST_LINE),
                color=color,
                linestyle=line,
                marker=curve.marker or ("o" if curve.marks else None),
                markersize=6 if curve.marker else 3,
            )
            if curve.band:
                low, high = ([y + sign * half for y, half in zip(curve.y, curve.band)] for sign in (-1, 1))
                axes.fill_between(curve.x, low, high, color=color, alpha=0.18, linewidth=0)
            if curve.errors and any(curve.errors):
                axes.errorbar(curve.x, curve.y, yerr=curve.errors, fmt="none", ecolor=color, elinewidth=0.8, capsize=2)
        _set_axes(axes, plot, shown)
        if len(names) > 1 and below:
            axes.figure.legend(loc="outside lower left", fontsize=8, borderaxespad=0.1, labelspacing=0.2)
        elif len(names) > 1:
            axes.legend(fontsize=8)
    return written[0]


def _set_axes(axes: Any, plot: Plot, shown: list[Curve]) -> None:
    if plot.log_y and shown:
        axes.set_yscale("log")
    if plot.log_x and shown:
        axes.set_xscale("log")
    if plot.x_ticks:
        axes.set_xticks([x for x, _ in plot.x_ticks], [text for _, text in plot.x_ticks])
        axes.set_xticks([], minor=True)
    if plot.y_from_zero:
        axes.set_ylim(bottom=0)
    if plot.notes:
        axes.margins(x=0.16, y=0.16)  # room for the words
    for x, y, text in plot.notes:
        axes.annotate(text, (x, y), xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)


def draw_bars_svg(values: list[tuple[str, float]], x_label: str, name: str, width_in: float = 4.6) -> str:
    """Horizontal bars from zero, the first on top, positive and negative in two colours, as SVG text.

    Args:
        values: (name, length) pairs, at least one.
        name: unique on the page.
    """
    with _figure(name, width_in, 0.7 + 0.2 * len(values)) as (axes, written):
        places = range(len(values))[::-1]
        axes.barh(
            places,
            [value for _, value in values],
            height=0.7,
            color=[COLORS[0] if value >= 0 else COLORS[1] for _, value in values],
        )
        axes.set_yticks(places, [text for text, _ in values])
        axes.axvline(0, color=_INK, linewidth=0.6)
        axes.set_xlabel(x_label)
        axes.margins(y=0.01)
    return written[0]


def draw_dots_svg(rows: list[tuple[str, list[float]]], x_label: str, name: str, width_in: float = 4.6) -> str:
    """Histograms of dots, one row for each name, the first on top: a dot for each value, stacked where values fall
    into one bin; a bar at the mean. As SVG text.

    Args:
        rows: (name, values) with at least one value in all.
        name: unique on the page.
    """
    everything = [value for _, values in rows for value in values]
    step = (max(everything) - min(everything)) / _DOT_BINS or 1.0
    stacks = [Counter(round(value / step) for value in values) for _, values in rows]
    tallest = max(max(stack.values(), default=1) for stack in stacks)
    with _figure(name, width_in, 0.75 + len(rows) * (0.28 + 0.06 * tallest)) as (axes, written):
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.5)
        for place, ((_, values), stack) in enumerate(zip(rows, stacks)):
            base, color = len(rows) - 1 - place, COLORS[place % len(COLORS)]
            rise = 0.7 / max(tallest, 2)
            axes.plot(
                [bin_ * step for bin_, count in stack.items() for _ in range(count)],
                [base + rise * level for count in stack.values() for level in range(count)],
                linestyle="none",
                marker="o",
                markersize=4.5,
                color=color,
                alpha=0.9,
                markeredgewidth=0,
            )
            if len(values) > 1:
                mean = sum(values) / len(values)
                axes.plot([mean, mean], [base - 0.3, base + 0.45], color=color, linewidth=1.2)
        axes.set_yticks(range(len(rows)), [text for text, _ in reversed(rows)])
        axes.set_ylim(-0.45, len(rows) - 0.35)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x_label)
    return written[0]


def draw_matrix_svg(
    counts: list[list[int]], rows: list[str], columns: list[str], row_label: str, column_label: str, name: str
) -> str:
    """A matrix of counts, each cell as dark as its share of the row, as SVG text.

    Args:
        counts: one list for each row.
        rows, columns: their names, the first row on top.
        row_label, column_label: what they are.
        name: unique on the page.
    """
    cell_in, longest = 0.34, max(map(len, [*rows, *columns]))
    names_in = 0.075 * min(longest, _LONGEST_NAME) + 0.5
    width_in, height_in = max(4.6, cell_in * len(columns) + names_in), cell_in * len(rows) + names_in
    with _figure(name, width_in, height_in) as (axes, written):
        axes.grid(visible=False)
        for row, line in enumerate(counts):
            total = sum(line)
            for column, count in enumerate(line):
                if not count:
                    continue
                axes.axvspan(
                    column - 0.5,
                    column + 0.5,
                    ymin=1 - (row + 1) / len(rows),
                    ymax=1 - row / len(rows),
                    color=COLORS[0] if row == column else COLORS[1],
                    alpha=0.08 + 0.72 * count / total,
                    linewidth=0,
                )
                axes.text(column, row, _short_count(count), ha="center", va="center", fontsize=7)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xticks(range(len(columns)), [_short_name(one) for one in columns], rotation=90)
        axes.set_yticks(range(len(rows)), [_short_name(one) for one in rows])
        axes.tick_params(length=0)
        axes.set_xlabel(column_label)
        axes.set_ylabel(row_label)
    return written[0]


@dataclass(frozen=True)
class Interval:
    """A value with the interval around it, in one unit."""

    value: float
    low: float
    high: float


def draw_intervals_svg(
    rows: list[tuple[str, list[Interval | None]]], series: list[str], x_label: str, name: str, width_in: float = 4.6
) -> str:
    """Values with their intervals beside a line at 0, the same series below each other in every row, as SVG text. An
    interval that leaves 0 out has a filled mark.

    Args:
        rows: (name, one for each of the series) from the top; None where there is no value.
        series: names, in the legend's order.
        name: unique on the page.
    """
    step = 0.8 / len(series)
    height_in = 0.6 + len(rows) * (0.1 * len(series) + 0.12) + 0.17 * ((len(series) + 1) // 2)
    with _figure(name, width_in, height_in) as (axes, written):
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.5)
        axes.axvline(0, color=_INK, linewidth=0.6)
        for number, label in enumerate(series):
            color = COLORS[number % len(COLORS)]
            for row, (_, found) in enumerate(rows):
                one, place = found[number], -row + 0.4 - step * (number + 0.5)
                if one is None:
                    continue
                told = one.low > 0 or one.high < 0
                axes.plot([one.low, one.high], [place, place], color=color, linewidth=1.3, alpha=0.85)
                axes.plot([one.value], [place], "o", ms=4, color=color, mfc=color if told else "#ffffff", mew=1)
            axes.plot([], [], "o-", color=color, ms=4, linewidth=1.3, label=fill(label, _LONGEST_LINE))
        for row in range(1, len(rows)):
            axes.axhline(0.5 - row, color="#888888", alpha=0.25, linewidth=0.5)
        axes.set_yticks([-row for row in range(len(rows))], [text for text, _ in rows])
        axes.set_ylim(0.5 - len(rows), 0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(x_label)
        axes.figure.legend(loc="outside lower left", ncols=2, fontsize=8, borderaxespad=0.1, labelspacing=0.2)
    return written[0]


def draw_ranks_svg(
    means: dict[str, float], critical: float, groups: list[list[str]], name: str, width_in: float = 4.6
) -> str:
    """Mean ranks on a line from 1, best first, with a bar over names that are not told apart, as SVG text (after
    Demsar, JMLR 7, 2006).

    Args:
        means: name -> mean rank.
        critical: the difference of ranks that tells two apart, drawn as a bar on top.
        groups: names that are not told apart.
        name: unique on the page.
    """
    order = sorted(means, key=lambda one: means[one])
    height_in = 0.75 + 0.2 * len(order) + 0.12 * len(groups)
    with _figure(name, width_in, height_in) as (axes, written):
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color="#888888", alpha=0.25, linewidth=0.5)
        for place, one in enumerate(order):
            axes.plot([1, means[one]], [-place, -place], color="#888888", alpha=0.35, linewidth=0.8)
            axes.plot([means[one]], [-place], "o", ms=5, color=COLORS[0])
            axes.annotate(
                f"{means[one]:.1f}", (means[one], -place), (6, 0), textcoords="offset points", va="center", fontsize=8
            )
        for number, group in enumerate(groups):
            ends = [min(means[one] for one in group), max(means[one] for one in group)]
            axes.plot(ends, [0.8 + 0.5 * number] * 2, color=_INK, linewidth=2.4, solid_capstyle="butt")
        top = 1.2 + 0.5 * len(groups)
        axes.plot([1, 1 + critical], [top, top], color=COLORS[1], linewidth=1.2, marker="|", ms=6)
        axes.annotate(
            f"critical difference {critical:.1f}", (1 + critical, top), (6, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
        axes.set_yticks([-place for place in range(len(order))], order)
        axes.set_ylim(0.5 - len(order), top + 0.6)
        axes.set_xlim(1, max(len(order), 1 + critical) + 0.3)
        axes.set_xticks(range(1, len(order) + 1))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("mean rank over the sets, 1 is best")
    return written[0]


def _short_name(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _short_count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


@contextmanager
def _figure(name: str, width_in: float, height_in: float) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list that holds the SVG text afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 9,
        "axes.edgecolor": _INK,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        # Names of classes and runs are no formulas.
        "text.parse_math": False,
        "text.usetex": False,
    }
    written: list[str] = []
    with plt.rc_context(style), warnings.catch_warnings():  # type: ignore[arg-type]
        # The page's own fonts draw the words; matplotlib's are asked for their sizes alone.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        figure, axes = plt.subplots(figsize=(width_in, height_in), layout="constrained")
        axes.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.5)
        yield axes, written
        buffer = io.StringIO()
        # What does not fit, long names and words at points, widens the drawing and is not cut off.
        about = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=about, bbox_inches="tight", pad_inches=0.04)
        plt.close(figure)
    written.append(_inline(buffer.getvalue(), name))


def _inline(svg: str, name: str) -> str:
    """The drawing without XML head and outside references, its ink the page's, its ids its own."""
    svg = re.sub(r"[\x00-\x08\x0b-\x1f]", "", svg[svg.index("<svg") :])  # not allowed in XML, not even escaped
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\sxmlns:xlink="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"font: (\d+\.?\d*)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
