"""Curves as small inline SVG: text in the page's own font, ink in the page's own colour, safe in dark and light.

Matplotlib draws; what is black becomes ``currentColor``. It refuses nothing: a curve without points is left out.
"""

import io
import re
from dataclasses import dataclass, field

# Okabe and Ito's colours (jfly.uni-koeln.de/color), which most colour-blind readers can tell apart; the blue a
# little lighter, so that all hold on white and on black.
COLORS = ("#1f83c6", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_INK = "#010203"


@dataclass
class Curve:
    """One line: points (x, y); ``dashed`` for the second-rank ones; ``marks`` to show each point."""

    label: str
    x: list[float]
    y: list[float]
    dashed: bool = False
    marks: bool = False
    color: str | None = None


@dataclass
class Plot:
    """A plot of curves with its axes' names."""

    curves: list[Curve]
    x_label: str
    y_label: str
    y_from_zero: bool = False
    log_y: bool = False
    notes: list[tuple[float, float, str]] = field(default_factory=list)


def draw_svg(plot: Plot, name: str, width_in: float = 4.6, height_in: float = 2.9) -> str:
    """One plot as SVG text, about 10 to 30 kB.

    Args:
        name: unique on the page; the ids inside the drawing carry it.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "axes.edgecolor": _INK, "text.color": _INK,
             "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "axes.linewidth": 0.6,
             "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.spines.top": False,
             "axes.spines.right": False, "legend.frameon": False, "lines.linewidth": 1.4}
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(width_in, height_in), layout="constrained")
        for number, curve in enumerate(curve for curve in plot.curves if curve.x):
            axes.plot(curve.x, curve.y, label=curve.label, color=curve.color or COLORS[number % len(COLORS)],
                      linestyle="--" if curve.dashed else "-", marker="o" if curve.marks else None, markersize=3)
        if plot.log_y and any(curve.y for curve in plot.curves):
            axes.set_yscale("log")
        if plot.y_from_zero:
            axes.set_ylim(bottom=0)
        for x, y, text in plot.notes:
            axes.annotate(text, (x, y), xytext=(0, 5), textcoords="offset points", ha="center", va="bottom")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(axis="y", color="#888888", alpha=0.25, linewidth=0.5)
        if len([curve for curve in plot.curves if curve.x]) > 1:
            axes.legend(fontsize=8)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return _inline(buffer.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """The drawing without XML head and outside references, its ink the page's, its ids its own."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\sxmlns:xlink="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"font: (\d+\.?\d*)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
