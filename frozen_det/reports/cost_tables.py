"""Pictures of what a run group's score costs: against FLOPs of a training step, trained share, share of the data.

The first is Figure 1 of arXiv 2204.00484, the second its Table 3 as a picture. A group without the number it would
stand at is left out; a picture of fewer than two points is not drawn.
"""

from ..pages.blocks import Figure
from ..pages.plots import COLORS, Curve, Plot, draw_svg
from .detection_comparison import score, score_name
from .groups import RunGroup, mean_and_spread
from .sections import Facts, section

# Squares train the backbone, circles do not; adapters are diamonds.
_MARKERS = {
    "scratch": "^",
    "fine-tuned": "s",
    "frozen": "o",
    "frozen with adapters": "D",
    "fine-tuned with adapters": "P",
    "partly frozen": "v",
}


def trade_offs(groups: list[RunGroup], stage: str) -> list[Figure]:
    """The pictures for which there are points."""
    what = score_name(groups, stage)
    title = what[0].upper() + what[1:]
    figures = []
    for name, x_label, of, caption in (
        (
            "flops",
            "GFLOPs of a training step, one image",
            lambda d: d.training_step_flops / 1e9,
            "against what a training step costs (the paper's Figure 1)",
        ),
        (
            "share",
            "trained share of the model, percent",
            lambda d: 100 * d.trainable_share,
            "against the share of the model that trains (the paper's Table 3)",
        ),
    ):
        plot = _against(groups, stage, x_label, what, of)
        if plot is not None:
            figures.append(
                Figure(
                    draw_svg(plot, f"trade-{name}"),
                    f"{title} {caption}; bars are one standard deviation over seeds.",
                    f"trade-{name}",
                )
            )
    plot = _against_fraction(groups, stage, what)
    if plot is not None:
        figures.append(
            Figure(
                draw_svg(plot, "trade-fraction"),
                f"{title} against the share of the training images; bars are one standard deviation over seeds.",
                "trade-fraction",
            )
        )
    return figures


def _against(groups: list[RunGroup], stage: str, x_label: str, y_label: str, of) -> Plot | None:
    """One point for each group on the largest share of the data that has two: its decoder's colour, its training's
    shape."""
    points: dict[float, list[tuple]] = {}
    for group in groups:
        found = mean_and_spread(group.values(lambda run: score(run, stage)))
        if group.description is not None and found is not None:
            points.setdefault(group.facts.share if group.facts else 1.0, []).append((group, *found))
    enough = [share for share, having in points.items() if len(having) > 1]
    if not enough:
        return None
    curves: list[Curve] = []
    colors: dict[str, str] = {}
    for group, mean, deviation in points[max(enough)]:
        decoder, training = (group.facts.decoder, group.facts.training) if group.facts else (group.label, "")
        color = colors.setdefault(decoder, COLORS[len(colors) % len(COLORS)])
        curves.append(
            Curve(
                group.label,
                [of(group.description)],
                [mean],
                color=color,
                errors=[deviation or 0.0],
                marker=_MARKERS.get(training, "o"),
            )
        )
    return Plot(curves, x_label, y_label)


def _against_fraction(groups: list[RunGroup], stage: str, what: str) -> Plot | None:
    """One line for each kind of group that was trained on several shares of the data."""
    lines: dict[str, list] = {}
    for group in groups:
        found = mean_and_spread(group.values(lambda run: score(run, stage)))
        if group.facts is not None and found is not None:
            parts = [group.facts.training, group.facts.backbone, group.facts.decoder]
            lines.setdefault("|".join(parts), []).append((100 * group.facts.share, *found))
    lines = {name: sorted(points) for name, points in lines.items() if len({one[0] for one in points}) > 1}
    if not lines:
        return None
    names = _short([name.split("|") for name in lines])
    curves = [
        Curve(
            name,
            [one[0] for one in points],
            [one[1] for one in points],
            marks=True,
            color=COLORS[number % len(COLORS)],
            errors=[one[2] or 0.0 for one in points],
        )
        for number, (name, points) in enumerate(zip(names, lines.values()))
    ]
    ticks = sorted({x for curve in curves for x in curve.x})
    return Plot(
        curves, "share of the training images, percent", what, log_x=True, x_ticks=[(x, f"{x:.3g}") for x in ticks]
    )


def _short(names: list[list[str]]) -> list[str]:
    """Names without the parts that are the same in all."""
    differ = [len({name[place] for name in names}) > 1 for place in range(len(names[0]))]
    if not any(differ):
        return [name[0] for name in names]
    return [", ".join(part for part, shown in zip(name, differ) if shown) for name in names]


@section("What it costs", 30, "runs")
def _costs(facts: Facts) -> list:
    return trade_offs(facts.groups, facts.stage)
