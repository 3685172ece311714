"""Pictures of what an arm's score costs: against FLOPs of a training step, the trained share, the share of the data.

The first is Figure 1 of arXiv 2204.00484, the second its Table 3 as a picture. An arm without the number it would stand
at is left out; a picture of fewer than two points is not drawn.
"""

from ..pages.blocks import Figure
from ..pages.plots import COLORS, Curve, Plot, draw_svg
from .detection_comparison import score, score_name
from .groups import Arm, mean_and_spread
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


def trade_offs(arms: list[Arm], stage: str) -> list[Figure]:
    """The pictures for which there are points."""
    what = score_name(arms, stage)
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
        plot = _against(arms, stage, x_label, what, of)
        if plot is not None:
            figures.append(
                Figure(
                    draw_svg(plot, f"trade-{name}"),
                    f"{title} {caption}; bars are one standard deviation over seeds.",
                    f"trade-{name}",
                )
            )
    plot = _against_fraction(arms, stage, what)
    if plot is not None:
        figures.append(
            Figure(
                draw_svg(plot, "trade-fraction"),
                f"{title} against the share of the training images; bars are one standard deviation over seeds.",
                "trade-fraction",
            )
        )
    return figures


def _against(arms: list[Arm], stage: str, x_label: str, y_label: str, of) -> Plot | None:
    """One point for each arm on the largest share of the data that has two: its decoder's colour, its training's
    shape."""
    points: dict[float, list[tuple]] = {}
    for arm in arms:
        found = mean_and_spread(arm.values(lambda run: score(run, stage)))
        if arm.description is not None and found is not None:
            points.setdefault(arm.facts.share if arm.facts else 1.0, []).append((arm, *found))
    enough = [share for share, having in points.items() if len(having) > 1]
    if not enough:
        return None
    curves: list[Curve] = []
    colors: dict[str, str] = {}
    for arm, mean, deviation in points[max(enough)]:
        decoder, training = (arm.facts.decoder, arm.facts.training) if arm.facts else (arm.label, "")
        color = colors.setdefault(decoder, COLORS[len(colors) % len(COLORS)])
        curves.append(
            Curve(
                arm.label,
                [of(arm.description)],
                [mean],
                color=color,
                errors=[deviation or 0.0],
                marker=_MARKERS.get(training, "o"),
            )
        )
    return Plot(curves, x_label, y_label)


def _against_fraction(arms: list[Arm], stage: str, what: str) -> Plot | None:
    """One line for each kind of arm that was trained on several shares of the data."""
    lines: dict[str, list] = {}
    for arm in arms:
        found = mean_and_spread(arm.values(lambda run: score(run, stage)))
        if arm.facts is not None and found is not None:
            parts = [arm.facts.training, arm.facts.backbone, arm.facts.decoder]
            lines.setdefault("|".join(parts), []).append((100 * arm.facts.share, *found))
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
    return trade_offs(facts.arms, facts.stage)
