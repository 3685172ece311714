"""The report of classification runs, one or many: the blocks of a detection report, with the noise of the measurement.

Refuses a baseline that is none of the groups.
"""

from pathlib import Path

from ..pages.blocks import KeyFigures, Page, Picture, Text
from ..pages.words import counted, duration
from .classifier_runs import NUMBERS, baseline_of, best_minus_final, final, final_stage, name_shortly, pairs_of
from .evidence import footer
from .groups import RunGroup, describe_all, group_runs
from .recipes import what_they_are
from .run_record import RunRecord
from .sections import Facts, section, sections_of
from .seed_noise import STAGE_WORDS, final_numbers

MAX_PICTURES = 8
MIXED_PICTURE = "mixed/batch.png"


def page_of_classifiers(
    runs: list[RunRecord], files: Path, baseline: str | None = None, second_test_file: str = "second_test.json"
) -> Page:
    """The report of one classification run or of several, group by group; runs that differ in the seed alone
    are one group.

    Args:
        runs: of classifiers.
        files: folder for pictures drawn for the page; not needed here.
        baseline: config that differences are taken against; None for the recipe ``plain``, else the first.
        second_test_file: name of the json in a work directory with the numbers on a second test set.

    Raises:
        InputError: a baseline that is none of the groups.
    """
    from .detection import name_apart

    name_apart(runs)
    groups = group_runs(runs)
    name_shortly(groups)
    base = baseline_of(groups, baseline)
    groups = [base, *(group for group in groups if group is not base)]
    describe_all(groups)
    stage = final_stage(runs)
    facts = Facts(runs, groups, stage, files, pairs_of(groups, base, stage), base, second_test_file)
    return Page(_title(groups, runs), _subtitle(groups, base, stage), sections_of("classifiers", facts), footer())


def _title(groups: list[RunGroup], runs: list[RunRecord]) -> str:
    if len(groups) == 1:
        return groups[0].label if len(runs) == 1 else f"{groups[0].label}, {counted(len(runs), 'run')}"
    return f"{counted(len(groups), 'classifier')}, {counted(len(runs), 'run')}"


def _subtitle(groups: list[RunGroup], base: RunGroup, stage: str) -> str:
    seeds = sorted({run.seed for group in groups for run in group.runs if run.seed is not None})
    words = (
        f"Top-1 of the final checkpoint {STAGE_WORDS[stage]}; seed{'s' * (len(seeds) != 1)} "
        f"{', '.join(map(str, seeds)) or 'not known'}"
    )
    return words + (f"; differences are against {base.label}." if len(groups) > 1 else ".")


def _key_figures(group: RunGroup, stage: str) -> KeyFigures:
    figures = []
    for name in list(NUMBERS)[:4]:
        values, (words, digits, _) = group.values(lambda run, name=name: final(run, stage, name)), NUMBERS[name]
        if values:
            seeds = f", mean of {counted(len(values), 'seed')}" if len(values) > 1 else ""
            figures.append((f"{sum(values) / len(values):.{digits}f}", f"{words.replace(', %', ' in percent')}{seeds}"))
    gaps = [found[1] for run in group.runs if (found := best_minus_final(run))]
    if gaps:
        figures.append((f"{sum(gaps) / len(gaps):.2f}", "points more at the best epoch, which is not reported"))
    seconds = [value for run in group.runs if (value := run.training_seconds())]
    if seconds:
        figures.append((duration(sum(seconds) / len(seconds)), "of training steps"))
    return KeyFigures(figures)


def _pictures(groups: list[RunGroup]) -> list:
    found = [
        (group, path)
        for group in groups
        if (
            path := next(
                (run.work_dir / MIXED_PICTURE for run in group.runs if (run.work_dir / MIXED_PICTURE).is_file()), None
            )
        )
    ]
    if not found:
        return []
    more = f" The first {MAX_PICTURES} of {len(found)} groups." if len(found) > MAX_PICTURES else ""
    return [
        Text(
            "What training was fed: eight images of the first batch, each by a draw of its own from the run's "
            f"mixing, with the weights of both labels.{more}"
        ),
        *(Picture(path, group.label) for group, path in found[:MAX_PICTURES]),
    ]


@section("Final checkpoint", 10, "classifiers")
def _result(facts: Facts) -> list:
    figures = [_key_figures(facts.groups[0], facts.stage)] if len(facts.groups) == 1 else []
    return [*figures, what_they_are(facts.groups), *final_numbers(facts.groups, facts.stage)]


@section("Training batches", 100, "classifiers")
def _batches(facts: Facts) -> list:
    return _pictures(facts.groups)
