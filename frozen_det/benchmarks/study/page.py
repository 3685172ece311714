"""The study's part of docs/study.md and its summary for another page: tables and pictures from the records alone."""

from collections import Counter
from pathlib import Path

from ...errors import InputError
from ...pages.blocks import Figure
from ...pages.markdown import table
from ...pages.parts import Part
from ...pages.plots import Interval, draw_intervals_svg, draw_ranks_svg
from .arms import ARMS, BACKBONES, StudyRun
from .costs import SET as COST_SET
from .plan import RATES_OF, TABLES, WHOLE
from .reading import Estimate, Study
from .records import COSTS, FACTS, RUNS, read_records
from .relations import relations_table
from .sets import NUM_FOLDS, SETS
from .tables import (
    Varied,
    difference_table,
    differences,
    main_table,
    over_whole_sets,
    progress_table,
    ranks_of,
    rates_table,
    sets_table,
    spaced,
    spread_table,
    summary_table,
    varied_differences,
    varied_table,
    whole_sets,
)

TITLE = "Frozen, adapters or fine-tuned"
PART = Part("study", "frozen-det benchmark study --page")
SUMMARY = Part("study's summary", "frozen-det benchmark study --page")
_NOT_YET = "Not complete yet."


class Content:
    """What the page is made from.

    Args:
        records: file of finished runs; costs.jsonl and sets.jsonl are beside it.
    """

    def __init__(self, records: Path):
        self.study = Study(read_records(records, RUNS))
        self.costs, self.facts = (
            {one["key"]: one for one in read_records(records.with_name(f"{kind}.jsonl"), fields)}
            for kind, fields in (("costs", COSTS), ("sets", FACTS))
        )


def write_page(records: Path, page: Path) -> None:
    """Put the study's part, or the summary where a page has its comments, into a page; pictures go beside it.

    Args:
        records: file of finished runs.
        page: a Markdown file; the part is added at its end where it has neither.

    Raises:
        InputError: no such records.
    """
    if not records.is_file():
        raise InputError(f"expected a file of finished runs, got no {records}. Name it: --records FILE.")
    content = Content(records)
    if page.is_file() and SUMMARY.of(page.read_text(encoding="utf-8")):
        SUMMARY.write(page, summary(content), TITLE)
    else:
        PART.write(page, section(content, page.parent / "pictures"), TITLE)


def summary(content: Content) -> str:
    """An arm a row, a table for each backbone that is on every set."""
    parts = []
    for name, (backbone, _) in WHOLE.items():
        whole = whole_sets(content.study, name)
        if whole:
            parts.append(f"{backbone}, mean over {len(whole)} of {len(SETS)} sets:")
            parts.append(summary_table(content.study, content.costs, name))
    return "\n\n".join([*parts, _SUMMARY_NOTE] if parts else [_NOT_YET])


def section(content: Content, pictures: Path) -> str:
    """All of the part.

    Args:
        content: what is finished.
        pictures: folder of the drawings, which are written.
    """
    study = content.study
    parts = [
        "## What was run",
        _budget(study),
        progress_table(study),
        _shared(study),
        "### Sets",
        sets_table(content.facts),
        _SETS_NOTE,
    ]
    arms = table(["arm", "what trains beside the decoder"], [[name, arm.trains] for name, arm in ARMS.items()], left=2)
    parts += ["### Arms", arms, _RATES_NOTE, rates_table(study) or _NOT_YET]
    for name, (backbone, _) in WHOLE.items():
        parts += [f"## All arms on all sets: {backbone}", *_whole(content, name, pictures)]
    parts += ["## With what the difference to frozen goes", _RELATIONS_NOTE]
    parts += [relations_table(study, content.facts, "main")] if study.cells("main") else [_NOT_YET]
    for title, words, varied in _VARIED:
        rates = rates_table(study, RATES_OF[varied.name]) if varied.name in RATES_OF else ""
        parts += [f"## {title}", words, rates, *_varied(content, varied, pictures)]
    parts += ["## Seeds", _SEEDS_NOTE, spread_table(study), "## Commands", _commands(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _whole(content: Content, name: str, pictures: Path) -> list[str]:
    study, whole, (backbone, arms) = content.study, whole_sets(content.study, name), WHOLE[name]
    if not study.cells(name):
        return [_NOT_YET]
    told = f"Mean and rank are over the {len(whole)} of {len(SETS)} sets on which every arm is whole. {_SUMMARY_NOTE}"
    parts = [told, summary_table(study, content.costs, name)]
    placed = ranks_of(study, name)
    if placed:
        caption = (
            f"Mean ranks over {placed.num_sets} sets, {backbone}: bars join arms that Nemenyi's test does not tell "
            f"apart at 5 %; Friedman's test that all are alike has p {placed.p:.2g}"
        )
        svg = draw_ranks_svg(placed.means, placed.critical, placed.groups(), f"study-ranks-{name.lower()}")
        parts.append(Figure(svg, caption, f"study_ranks_{backbone.lower()}").markdown(pictures))
    parts += [_main_note(study), main_table(study, content.costs, name)]
    parts += [
        f"Difference to frozen, bold where its interval leaves 0 out; of {(len(arms) - 1) * len(SETS)} such intervals "
        "a few do by chance:",
        difference_table(study, name),
    ]
    found = {arm: differences(study, name, arm) for arm in arms[1:]}
    rows = [(spaced(one), [_drawn(found[arm].get(one)) for arm in found]) for one in SETS]
    if placed:
        rows.append(("over sets", [_drawn(over_whole_sets(study, name, arm)) for arm in found]))
    rows = [row for row in rows if any(row[1])]
    if rows:
        svg = draw_intervals_svg(
            rows, list(found), "difference to frozen, AP points", f"study-differences-{name.lower()}"
        )
        caption = f"Difference to frozen by set, {backbone}; filled where the interval of 95 % leaves 0 out"
        parts.append(Figure(svg, caption, f"study_differences_{backbone.lower()}").markdown(pictures))
    return parts


def _main_note(study: Study) -> str:
    spreads = ", ".join(f"{spaced(one)} {100 * variance**0.5:.1f}" for one, variance in study.variances.items())
    return (
        "AP of each set, the highest bold, and half the length of its interval: over test images, and over trainings, "
        f"whose standard deviation from run to run is, in points: {spreads} (what arms, folds and images leave "
        "unexplained in the table of Lite0, pooled with the seeds below where there are any). All tables take these."
    )


def _varied(content: Content, varied: Varied, pictures: Path) -> list[str]:
    if not content.study.cells(varied.name):
        return [_NOT_YET]
    parts = [varied_table(content.study, content.costs, varied)]
    rows = varied_differences(content.study, varied)
    if varied.by and rows:
        first, *others = varied.arms
        svg = draw_intervals_svg(
            [(label, [_drawn(one) for one in found]) for label, found in rows],
            others,
            f"difference to {first}, AP points",
            f"study-{varied.name.lower()}",
        )
        caption = f"Difference to {first} by set and {varied.by}; filled where the interval of 95 % leaves 0 out"
        parts.append(Figure(svg, caption, f"study_{varied.name.lower()}").markdown(pictures))
    return parts


def _drawn(found: Estimate | None) -> Interval | None:
    return found and Interval(100 * found.value, 100 * found.low, 100 * found.high)


def _budget(study: Study) -> str:
    hours = sum(record["cpu_s"] for record in study.records.values()) / 3600
    runs, updates = len(study.records), StudyRun.updates
    return f"""Seven small real sets, in {NUM_FOLDS} folds each: every image is tested once, images nearly alike are
tested together, and frames of one camera in runs of neighbours. A run is about {updates} updates of 2 images by AdamW,
the learning rate warmed up and lowered by a cosine: Faster R-CNN with a pyramid of 64 channels; images are scaled by
0.5 to 1.5, cropped and mirrored. The last checkpoint is tested. {runs} runs, {hours:.1f} hours of one CPU thread; a
cell that lacks a fold is empty."""


def _shared(study: Study) -> str:
    """How many runs are in several tables, and in none."""
    times = Counter(run.key for name in TABLES for run in study.runs(name))
    several = sum(times[key] > 1 for key in study.records)
    stray = sum(key not in times for key in study.records)
    return f"{several} of the runs are in two tables, {stray} in none." if several or stray else ""


def _commands(study: Study) -> str:
    return f"""```
frozen-det benchmark study --data SETS --table rates       # first: each arm's rate follows from it
frozen-det benchmark study --data SETS --table main Lite2  # and so on, by the names in the table above
frozen-det benchmark study --data SETS --table "large rates" large
frozen-det benchmark study --data SETS --measure costs sets
frozen-det benchmark study --page docs/study.md            # this part
```

A run of fold k has seed k; the table `seeds` adds 10, 20, 30 and 40 in fold 0. Records are lines of `runs.jsonl`,
`costs.jsonl` and `sets.jsonl` in docs/study. The median run took {_median_seconds(study):.0f} s of one thread."""


def _median_seconds(study: Study) -> float:
    took = sorted(record["cpu_s"] for record in study.records.values())
    return took[len(took) // 2] if took else 0.0


_SUMMARY_NOTE = (
    "AP in points (0 to 100). Intervals of 95 %: of the difference to frozen, Student's over the sets; of better and "
    "worse on a set, over its test images and trainings. Costs are of "
    f"{SETS[COST_SET].size} px and batch 2, one CPU thread: process time of a training step, memory above what a "
    "process has before it builds the model, a forward pass of one image, the file of a detector without its frozen "
    "part, trained parameters. Arms that differ in rates alone cost the same and are measured once."
)
_SETS_NOTE = (
    "Classes with the objects of the rarest and the commonest. Side of an object: the median root of the share of its "
    "image. From ImageNet: how far the means and spreads of frozen Lite0 features are from those of 1000 ImageNet "
    "images, in their standard deviations. px: the images are scaled into such a square."
)
_RATES_NOTE = (
    "Each arm takes the learning rate with the best mean AP on the validation images of kangaroo and microcontrollers, "
    "first fold; fine-tuning with its norms takes the rate of fine-tuning:"
)
_RELATIONS_NOTE = (
    "Spearman's correlation of the difference to frozen with what a set is, Lite0. Seven sets tell little: a "
    "correlation must be 0.79 to have p below 0.05, and one in twenty does by chance. The last column is over the "
    "classes of the sets that have several: the logarithm of a class's objects, and the difference of its AP in the "
    "folds that have it, both minus their mean over the set. Above 0, an arm gains most on common classes."
)
_FEW_SETS = "The column of differences is for these sets alone: its intervals are over test images and trainings."
_FRACTIONS_NOTE = f"A share of the training images, as many updates. {_FEW_SETS}"
_LARGE_NOTE = (
    f"{3 * StudyRun.updates} updates, against {StudyRun.updates} of the light decoder: compare arms, not decoders. "
    f"Rates are chosen again, on the validation images of microcontrollers, first fold. {_FEW_SETS}"
)
_SCRATCH_NOTE = f"From random weights the norms train, by the statistics of two images. {_FEW_SETS}"
_NORMS_NOTE = f"With pretrained weights, in all other arms the backbone's BatchNorms stay as they were. {_FEW_SETS}"
_VARIED = (
    (
        "Fewer training images",
        _FRACTIONS_NOTE,
        Varied("fractions", by="share", values=(0.1, 0.3, 1.0), label="{:.0%}".format),
    ),
    ("Other backbones", _FEW_SETS, Varied("backbones", by="backbone", values=tuple(BACKBONES))),
    ("A large decoder", _LARGE_NOTE, Varied("large", by="decoder", values=("light", "large"))),
    ("A DETR", _LARGE_NOTE, Varied("DETR", by="decoder", values=("light", "DETR"))),
    ("Random weights", _SCRATCH_NOTE, Varied("scratch", ("frozen", "fine-tuned", "scratch"))),
    ("Norms that train", _NORMS_NOTE, Varied("norms", ("fine-tuned", "fine-tuned with its norms"))),
)
_SEEDS_NOTE = "Standard deviation of AP between seeds of the first fold, points, and the runs it is from."
