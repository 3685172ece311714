"""Run groups side by side: what they are, their numbers over seeds, what can be told apart, and what each costs.

Numbers are those of the test where every run has been tested, else of the last validation; the captions say which.
"""

from ..pages.blocks import MISSING, Table, Text
from ..pages.words import duration, millions, percent
from .comparison import Comparison, claim, interval_and_p, paired_tests, signed, unfinished
from .groups import RunGroup, mean_and_spread
from .run_record import RunRecord, headline, metric_word
from .sections import Facts, section
from .statistics import FEWEST_SEEDS

KIND_WORDS = {"bbox": "box", "segm": "mask"}
AP_COLUMNS = {
    "AP": ("mAP", "AP"),
    "AP50": ("mAP_50", "AP50"),
    "AP75": ("mAP_75", "AP75"),
    "small": ("mAP_s", "APs"),
    "medium": ("mAP_m", "APm"),
    "large": ("mAP_l", "APl"),
    "rare": ("APr",),
    "common": ("APc",),
    "frequent": ("APf",),
}
# In a comparison "frozen minus fine-tuned", not the other way round.
_TRAINING_ORDER = ("scratch", "fine-tuned", "partly frozen", "frozen")
MAX_COMPARISONS = 24
_STAGE_WORDS = {"test": "of the test", "val": "at the last validation"}


class DetectorComparison(Comparison):
    """Two groups that differ in one thing."""

    @property
    def words(self) -> str:
        """'second − first (what both are)'."""
        first, second = self.first.label.split(", "), self.second.label.split(", ")
        common = [part for part in first if part in second]
        rest = [[part for part in parts if part not in common] for parts in (second, first)]
        if not common or not all(rest):
            return super().words
        return f"{', '.join(rest[0])} − {', '.join(rest[1])} ({', '.join(common)})"


def stage_of(runs: list[RunRecord]) -> str:
    """``test`` where every run has been tested, else ``val``."""
    return "test" if all(run.tested() for run in runs) else "val"


def score(run: RunRecord, stage: str) -> float | None:
    """The run's headline number at a stage, AP in percent; None where it has none."""
    numbers = run.numbers(stage)
    name = headline(numbers)
    return None if name is None or numbers[name] == -1 else numbers[name] * scale(name)


def score_name(groups: list[RunGroup], stage: str) -> str:
    """What the headline number of the groups is called: 'box AP', or a classifier's metric."""
    names = {headline(run.numbers(stage)) for group in groups for run in group.runs} - {None}
    words = {"box AP" if metric_word(name) == "AP" else metric_word(name) for name in names}
    return " / ".join(sorted(words)) or "score"


def scale(name: str) -> float:
    """100 for the AP and AR of detectors, which are kept as shares; 1 for what is printed as it is."""
    return 100.0 if name.rpartition("/")[2].split("_")[0] in KIND_WORDS else 1.0


# -- blocks ---------------------------------------------------------------------------------------------------------


def side_by_side(groups: list[RunGroup], stage: str) -> list:
    """Number tables of all kinds, of other metrics where there is no detector, and the costs."""
    kinds = [
        kind
        for kind in KIND_WORDS
        if any(_number(run, stage, kind, AP_COLUMNS["AP"]) is not None for group in groups for run in group.runs)
    ]
    blocks = [_numbers(groups, stage, kind) for kind in kinds] or [_other_numbers(groups, stage)]
    young = unfinished(groups)
    return [block for block in [young and Text(young), _what_they_are(groups), *blocks, _costs(groups)] if block]


def in_order(groups: list[RunGroup]) -> list[RunGroup]:
    """Groups of one decoder together, smaller models first, little data first, from scratch to frozen; as given where
    configs do not tell."""
    if any(group.facts is None for group in groups):
        return groups
    sizes: dict[tuple, int] = {}
    for group in groups:  # adapters belong to the group, not to its decoder: the smallest counts
        kind, size = (group.facts.backbone, group.facts.decoder), getattr(group.description, "total_params", 0)
        sizes[kind] = min(sizes.get(kind, size), size)
    kinds = sorted(sizes, key=sizes.get)
    return sorted(
        groups,
        key=lambda group: (
            kinds.index((group.facts.backbone, group.facts.decoder)),
            group.facts.share,
            _training_rank(group),
        ),
    )


def comparisons(groups: list[RunGroup], stage: str) -> list[DetectorComparison]:
    """Pairs that differ in the training or in the decoder alone; all pairs of few groups whose configs do not tell."""
    pairs = [_ordered(a, b) for number, a in enumerate(groups) for b in groups[number + 1 :]]
    chosen = [(a, b) for a, b in pairs if a.facts and b.facts and _one_difference(a, b)]
    if not chosen and len(groups) <= 4:
        chosen = pairs
    # What is trained is the first question.
    chosen = sorted(chosen, key=lambda pair: _same_training(*pair))[:MAX_COMPARISONS]
    tests = paired_tests(chosen, lambda run: score(run, stage))
    return [DetectorComparison(*pair, test) for pair, test in zip(chosen, tests)]


def compared(pairs: list[DetectorComparison], groups: list[RunGroup], stage: str) -> list:
    """The paired test of every pair, with a sentence that claims no more than the seeds carry."""
    if not pairs:
        return []
    rows = [
        [
            pair.words,
            str(pair.test.num_seeds),
            signed(pair.test.mean, 1),
            *interval_and_p(pair.test, 1),
            pair.test.verdict,
        ]
        for pair in pairs
    ]
    table = Table(
        ["difference", "n", score_name(groups, stage), "95 % interval", "p", "p corrected", "verdict"],
        rows,
        f"Paired t test over the n seeds that both groups share, {_STAGE_WORDS[stage]}: mean difference with its 95 % "
        f"interval; p two-sided, corrected by Holm's method for the comparisons in this table. Below "
        f"{FEWEST_SEEDS} seeds nothing is claimed. Seeds vary initial weights and the order of samples, not the data.",
    )
    return [Text(claim(pairs)), table]


def _same_training(a: RunGroup, b: RunGroup) -> bool:
    return None not in (a.facts, b.facts) and a.facts.training == b.facts.training


def _ordered(a: RunGroup, b: RunGroup) -> tuple[RunGroup, RunGroup]:
    return (a, b) if _training_rank(a) <= _training_rank(b) else (b, a)


def _training_rank(group: RunGroup) -> tuple[int, bool]:
    word = group.facts.training if group.facts else ""
    return next((i for i, start in enumerate(_TRAINING_ORDER) if word.startswith(start)), 0), "with adapters" in word


def _one_difference(a: RunGroup, b: RunGroup) -> bool:
    one, other = a.facts, b.facts
    differ = (one.training != other.training) + ((one.decoder, one.backbone) != (other.decoder, other.backbone))
    return differ == 1 and (one.share, one.schedule) == (other.share, other.schedule)


# -- tables ---------------------------------------------------------------------------------------------------------


def _what_they_are(groups: list[RunGroup]) -> Table | None:
    if any(group.facts is None for group in groups):
        return None
    rows = [
        [
            group.label,
            group.facts.training,
            group.facts.backbone,
            group.facts.neck,
            group.facts.detector,
            percent(group.facts.share).removesuffix(".0"),
            group.facts.schedule,
            group.runs[0].name,
        ]
        for group in groups
    ]
    header = ["group", "backbone is", "backbone", "neck", "detector", "data %", "schedule", "config"]
    varied = [column for column in range(1, 7) if len({row[column] for row in rows}) > 1]
    same = [f"{header[column]} {rows[0][column]}" for column in range(1, 7) if column not in varied and rows[0][column]]
    # The labels are made of what differs; only what they leave out needs a column.
    named = all(row[1] in group.label or 1 not in varied for row, group in zip(rows, groups))
    keep = [0, *(column for column in varied if not named or column == 6), 7]
    return Table(
        [header[column] for column in keep],
        [[row[column] for column in keep] for row in rows],
        f"The groups; the same for all: {', '.join(same)}." if same and len(groups) > 1 else "What was trained.",
        num_left=len(keep),
    )


def _numbers(groups: list[RunGroup], stage: str, kind: str) -> Table:
    columns = [
        name
        for name, keys in AP_COLUMNS.items()
        if any(_number(run, stage, kind, keys) is not None for group in groups for run in group.runs)
    ]
    values = [
        [
            mean_and_spread(group.values(lambda run, name=name: _number(run, stage, kind, AP_COLUMNS[name])))
            for name in columns
        ]
        for group in groups
    ]
    return Table(
        ["group", "seeds", *columns],
        [[group.label, group.seeds, *(spread(value) for value in row)] for group, row in zip(groups, values)],
        f"{KIND_WORDS[kind].capitalize()} AP in percent {_STAGE_WORDS[stage]}: mean ± sample standard "
        "deviation over seeds. The best mean of a column is bold, distinguishable or not.",
        num_left=2,
        best=_best(values),
    )


def _other_numbers(groups: list[RunGroup], stage: str) -> Table | None:
    """All metrics of runs that are no detectors."""
    columns = list(dict.fromkeys(name for group in groups for run in group.runs for name in run.numbers(stage)))
    if not columns:
        return None
    values = [
        [mean_and_spread(group.values(lambda run, name=name: run.numbers(stage).get(name))) for name in columns]
        for group in groups
    ]
    shown = [
        [
            MISSING if value is None else f"{value[0]:.4g}" + (f" ± {value[1]:.2g}" if value[1] is not None else "")
            for value in row
        ]
        for row in values
    ]
    return Table(
        ["group", "seeds", *columns],
        [[group.label, group.seeds, *row] for group, row in zip(groups, shown)],
        f"Numbers {_STAGE_WORDS[stage]}: mean ± sample standard deviation over seeds.",
        num_left=2,
    )


def _best(values: list[list]) -> set[tuple[int, int]]:
    """Cells (row, column) of the best means, in a table whose first two columns are words."""
    if len(values) < 2:
        return set()
    best = set()
    for column in range(len(values[0])):
        having = [row for row in range(len(values)) if values[row][column]]
        if having:
            best.add((max(having, key=lambda row: values[row][column][0]), column + 2))
    return best


def _costs(groups: list[RunGroup]) -> Table:
    return Table(
        ["group", "parameters M", "trained M", "trained %", "step GFLOPs", "step s", "peak GiB", "training"],
        [_cost_row(group) for group in groups],
        "What a group of runs costs: FLOPs of a training step on one image, median time of a step, peak memory of the "
        "accelerator (not logged on a CPU), time in training steps.",
    )


def _cost_row(group: RunGroup) -> list[str]:
    d = group.description
    sizes = (
        [MISSING] * 4
        if d is None
        else [
            millions(d.total_params),
            millions(d.trainable_params),
            f"{100 * d.trainable_share:.0f}",
            f"{d.training_step_flops / 1e9:.1f}",
        ]
    )
    step = mean_and_spread(group.values(RunRecord.step_seconds))
    memory = max(group.values(RunRecord.peak_memory_mib), default=None)
    training = mean_and_spread(group.values(RunRecord.training_seconds))
    return [
        group.label,
        *sizes,
        MISSING if step is None else f"{step[0]:.2f}",
        MISSING if memory is None else f"{memory / 1024:.1f}",
        MISSING if training is None else duration(training[0]),
    ]


def _number(run: RunRecord, stage: str, kind: str, names) -> float | None:
    """The first of the metric's names that the run has, as a share; None for none and for -1, an empty set's mark."""
    for full, value in run.numbers(stage).items():
        if any(full.rpartition("/")[2] == f"{kind}_{name}" for name in names):
            return None if value == -1 else value
    return None


def spread(value) -> str:
    """'41.0 ± 1.4' of a mean and spread given as shares."""
    if value is None:
        return MISSING
    mean, deviation = value
    return percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"


@section("Side by side", 10, "runs")
def _side_by_side(facts: Facts) -> list:
    return side_by_side(facts.groups, facts.stage)


@section("What can be told apart", 20, "runs")
def _compared(facts: Facts) -> list:
    return compared(facts.pairs, facts.groups, facts.stage)
