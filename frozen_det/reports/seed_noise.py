"""How much a classifier's numbers move with the seed, and what may be said in spite of it.

After "ResNet strikes back" (arXiv 2110.00476, section on the seed study): final checkpoints, mean with spread, least
and most, every seed as a dot; differences below two standard deviations of the baseline are marked; the order of groups
is checked on a second test set.
"""

from ..pages.blocks import MISSING, Figure, Table, Text
from ..pages.plots import COLORS, Curve, Plot, draw_dots_svg, draw_svg
from .classifier_runs import (
    MAIN,
    NUMBERS,
    ClassifierComparison,
    along_epochs,
    best_minus_final,
    disagreement,
    final,
    moment,
    number,
    rank_agreement,
    second_numbers,
)
from .comparison import claim, interval_and_p, signed, unfinished
from .groups import RunGroup, mean_and_spread, spread_words
from .run_record import RunRecord
from .sections import Facts, section
from .statistics import FEWEST_SEEDS

STAGE_WORDS = {"test": "in the test", "val": "at the last validation"}
MAX_DOTS = 24


def final_numbers(groups: list[RunGroup], stage: str) -> list:
    """The table of every number of the final checkpoint, and the dots of top-1."""
    rows, rules, best = [], [], set()
    for name, (words, digits, more_is_better) in NUMBERS.items():
        found = [group.values(lambda run, name=name: final(run, stage, name)) for group in groups]
        if not any(found) or (name == "mean_class" and _same_as_top1(groups, stage)):
            continue
        rules.append(len(rows))
        means = [sum(values) / len(values) for values in found if values]
        top = max(means) if more_is_better else min(means)
        for group, values in zip(groups, found):
            if len(means) > 1 and values and sum(values) / len(values) == top:
                best.add((len(rows), 3))
            rows.append([words, group.label, str(len(values)), *_spread_cells(values, digits)])
    if not rows:
        return [Text("No accuracy was measured yet.")]
    blocks = [
        _doubts(groups),
        Table(
            ["number", "group", "seeds", "mean", "std", "min", "max"],
            rows,
            f"The final checkpoint {STAGE_WORDS[stage]}; no checkpoint was picked by it. std is the sample standard "
            "deviation over seeds. The best mean is bold, distinguishable or not. ECE, the expected calibration "
            "error, is in 0 to 1.",
            num_left=2,
            rule_before=rules[1:],
            best=best,
        ),
    ]
    dots = [(_short(group.label), group.values(lambda run: final(run, stage))) for group in groups[:MAX_DOTS]]
    if any(values for _, values in dots):
        blocks.append(
            Figure(
                draw_dots_svg(dots, "top-1 of the final checkpoint, %", "final-dots"),
                "Every seed is a dot; dots of one bin stand upon each other; the line is the mean.",
                "final-dots",
            )
        )
    return [block for block in blocks if block]


def _same_as_top1(groups: list[RunGroup], stage: str) -> bool:
    """Whether the mean over classes says nothing new, as on a test set with equally many images of each class."""
    runs = [run for group in groups for run in group.runs]
    return all(
        (a := final(run, stage, "mean_class")) is None or abs(a - (final(run, stage) or 0)) < 1e-6 for run in runs
    )


def _spread_cells(values: list[float], digits: int) -> list[str]:
    found = mean_and_spread(values)
    if found is None:
        return [MISSING] * 4
    mean, deviation = found
    return [
        f"{mean:.{digits}f}",
        MISSING if deviation is None else f"{deviation:.{digits}f}",
        f"{min(values):.{digits}f}",
        f"{max(values):.{digits}f}",
    ]


def _doubts(groups: list[RunGroup]) -> Text | None:
    """Runs that are not at their end, and tests that were not of the final checkpoint."""
    odd = [
        f"{group.label}, seed {run.seed} (test {found[0]:.2f}, last validation {found[1]:.2f})"
        for group in groups
        for run in group.runs
        if (found := disagreement(run))
    ]
    parts = [unfinished(groups)]
    if odd:
        parts.append(
            f"Tested on the data of the validation with another result, so not the final checkpoint was tested: "
            f"{'; '.join(odd)}."
        )
    words = " ".join(filter(None, parts))
    return Text(words) if words else None


# -- along the epochs -----------------------------------------------------------------------------------------------


def curves(groups: list[RunGroup]) -> list[Figure]:
    """Training loss and validation top-1 of every run."""
    loss, scores = [], []
    for place, group in enumerate(groups):
        for seed, run in enumerate(group.runs):
            label, color = (group.label if seed == 0 else "_"), COLORS[place % len(COLORS)]
            loss.append(Curve(label, *_points(run.train, "loss", "iter"), color=color))
            scores.append(Curve(label, *_points(run.validations, MAIN), marks=len(run.validations) < 30, color=color))
    figures = []
    if any(curve.x for curve in loss):
        figures.append(
            Figure(
                draw_svg(Plot(loss, "iteration", "training loss"), "loss"),
                "Training loss of every run. With mixed batches it is the loss on mixed labels: not to "
                "be compared between groups.",
                "loss",
            )
        )
    if any(curve.x for curve in scores):
        figures.append(
            Figure(
                draw_svg(Plot(scores, _axis(groups), "validation top-1, %"), "top1"),
                "Top-1 at each validation of every run.",
                "top1",
            )
        )
    return figures


def spread_along_epochs(groups: list[RunGroup]) -> list[Figure]:
    """Mean with a band of one standard deviation, and the deviation itself; nothing below two seeds."""
    bands, deviations = [], []
    for place, group in enumerate(groups):
        points = [one for one in along_epochs(group) if one[2] is not None]
        if not points:
            continue
        color, epochs = COLORS[place % len(COLORS)], [one[0] for one in points]
        bands.append(
            Curve(group.label, epochs, [one[1] for one in points], color=color, band=[one[2] for one in points])
        )
        deviations.append(Curve(group.label, epochs, [one[2] for one in points], color=color))
    if not bands:
        return []
    axis = _axis(groups)
    return [
        Figure(
            draw_svg(Plot(bands, axis, "validation top-1, %"), "band"),
            "Mean over seeds; the band is one standard deviation to each side.",
            "band",
        ),
        Figure(
            draw_svg(Plot(deviations, axis, "std over seeds, points", y_from_zero=True), "deviation"),
            "The standard deviation over seeds along the run: it commonly shrinks as the learning rate does.",
            "deviation",
        ),
    ]


def best_against_final(groups: list[RunGroup]) -> list:
    """What picking the best epoch by the validation set would have added."""
    rows = []
    for group in groups:
        found = [one for run in group.runs if (one := best_minus_final(run))]
        if not found:
            continue
        gaps = [one[1] for one in found]
        last = sum(one[0] - one[1] for one in found) / len(found)
        best = sum(one[0] for one in found) / len(found)
        rows.append(
            [
                group.label,
                str(len(found)),
                f"{last:.2f}",
                f"{best:.2f}",
                f"{sum(gaps) / len(gaps):.2f}",
                f"{max(gaps):.2f}",
                ", ".join(str(one[2]) for one in found[:6]) + ", …" * (len(found) > 6),
            ]
        )
    if not rows:
        return []
    return [
        Table(
            ["group", "seeds", "final", "best", "gap", "largest gap", f"best {_axis(groups)}"],
            rows,
            "Validation top-1 in percent, means over seeds. The gap is what reporting the best epoch would add "
            "without the recipe being any better; results that name their best epoch carry it.",
        )
    ]


def _axis(groups: list[RunGroup]) -> str:
    by_epoch = any(one.get("epoch") for group in groups for run in group.runs for one in run.validations)
    return "epoch" if by_epoch else "iteration"


def _points(lines: list[dict], name: str, x: str | None = None) -> tuple[list, list]:
    having = [(one[x] if x else moment(one), value) for one in lines if (value := number(one, name)) is not None]
    return [one[0] for one in having], [one[1] for one in having]


# -- between groups -------------------------------------------------------------------------------------------------


def told_apart(pairs: list[ClassifierComparison], baseline: RunGroup, stage: str) -> list:
    """Every pair: difference, whether it is below two standard deviations of its first group, and the paired test."""
    if not pairs:
        return []
    rows = [
        [
            pair.words,
            str(pair.test.num_seeds),
            signed(pair.difference, 2),
            _noise_mark(pair),
            *interval_and_p(pair.test, 2),
            pair.test.verdict.split(" with")[0],
        ]
        for pair in pairs
    ]
    small = [pair for pair in pairs if pair.within_noise and pair.first is baseline]
    parts = [claim(pairs)]
    if small:
        parts.append(
            f"Below two standard deviations of {baseline.label}, so of the size of noise: "
            f"{', '.join(pair.second.label for pair in small)}."
        )
    return [
        Text(" ".join(parts)),
        Table(
            ["difference", "n", "top-1", "2 std", "95 % interval", "p", "p corrected", "verdict"],
            rows,
            f"Points of top-1 {STAGE_WORDS[stage]}. “2 std”: the difference against two sample standard deviations of "
            "the group that is subtracted; ✗ marks one below. Interval and p: paired t test over the n seeds that both "
            f"groups share, two-sided, corrected by Holm's method. Below {FEWEST_SEEDS} seeds nothing is claimed. "
            "Seeds vary initial weights, order, augmentation and mixing, not the data.",
            rule_before=_rule(pairs, baseline),
        ),
    ]


def _rule(pairs: list[ClassifierComparison], baseline: RunGroup) -> list[int]:
    return [
        place
        for place in range(1, len(pairs))
        if (pairs[place].first is baseline) != (pairs[place - 1].first is baseline)
    ]


def _noise_mark(pair: ClassifierComparison) -> str:
    if pair.within_noise is None:
        return MISSING
    return f"{'✗ below' if pair.within_noise else 'above'} {2 * pair.first_spread:.2f}"


# -- the second test set --------------------------------------------------------------------------------------------


def second_test(groups: list[RunGroup], stage: str, file_name: str) -> list:
    """Both test sets side by side with the ranks on each; nothing where no run has a second one."""

    def on_second(run: RunRecord) -> float | None:
        return number(second_numbers(run, file_name), MAIN)

    rows = [
        (group, mean_and_spread(group.values(lambda run: final(run, stage))), mean_and_spread(group.values(on_second)))
        for group in groups
    ]
    both = [row for row in rows if row[1] and row[2]]
    if not both:
        return []
    ranks = [_ranks([row[column][0] for row in both]) for column in (1, 2)]
    cells = [
        [
            group.label,
            spread_words(first, 2),
            str(a),
            spread_words(second, 2),
            str(b),
            f"{first[0] - second[0]:.2f}",
            MISSING if a == b else f"{a} → {b}",
        ]
        for (group, first, second), a, b in zip(both, *ranks)
    ]
    return [
        Text(_rank_words(both)),
        Table(
            ["group", "first, %", "rank", "second, %", "rank", "drop", "moves"],
            cells,
            f"Top-1 of the final checkpoint: first {STAGE_WORDS[stage]}, second from {file_name} of each run; mean ± "
            "sample standard deviation over seeds. Groups whose rank moves were tuned to the first set, or are too "
            "close to be ranked.",
        ),
    ]


def _rank_words(both: list[tuple]) -> str:
    if len(both) < 2:
        return "One group alone has a number on the second test set: there is nothing to rank."
    tau = rank_agreement([row[1][0] for row in both], [row[2][0] for row in both])
    if tau is None:
        return "All groups have the same number on one of the test sets: there is nothing to rank."
    swapped = [
        f"{a[0].label} and {b[0].label}"
        for place, a in enumerate(both)
        for b in both[place + 1 :]
        if (a[1][0] - b[1][0]) * (a[2][0] - b[2][0]) < 0
    ]
    if not swapped:
        return f"The order of the {len(both)} groups is the same on both test sets (Kendall's τ = {tau:.2f})."
    more = f" and {len(swapped) - 4} more pairs" if len(swapped) > 4 else ""
    return (
        f"The order is not the same on both test sets (Kendall's τ = {tau:.2f}): {'; '.join(swapped[:4])}{more} "
        "change places. What the first set says of them does not carry over."
    )


def _ranks(values: list[float]) -> list[int]:
    return [1 + sum(other > value for other in values) for value in values]


def _short(label: str) -> str:
    """A label that leaves room for the drawing."""
    return label if len(label) <= 30 else f"{label[:14]}…{label[-15:]}"


@section("What can be told apart", 20, "classifiers")
def _told_apart(facts: Facts) -> list:
    return told_apart(facts.pairs, facts.baseline, facts.stage)


@section("On a second test set", 30, "classifiers")
def _second_test(facts: Facts) -> list:
    return second_test(facts.groups, facts.stage, facts.second_test_file)


@section("Spread along the epochs", 50, "classifiers")
def _spread(facts: Facts) -> list:
    return spread_along_epochs(facts.groups)


@section("Best epoch and last epoch", 60, "classifiers")
def _best_against_final(facts: Facts) -> list:
    return best_against_final(facts.groups)


@section("Training", 70, "classifiers")
def _curves(facts: Facts) -> list:
    return curves(facts.groups)
