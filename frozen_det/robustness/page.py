"""One page over studies and candidates: a table and a picture for each, and the paper's direction beside each row.

A direction is "same" as the paper's or "opposite" when for every seed, of at least two, the bootstrap interval of the
difference from plain lies on that side of zero. Everything else is "not distinguishable".
"""

import statistics
from collections import defaultdict
from pathlib import Path

from ..pages.blocks import MISSING, Figure, Page, Section, Table, Text
from ..pages.html import html_page
from ..pages.markdown import markdown_page
from ..pages.plots import COLORS, Curve, Plot, draw_svg
from ..weights.atomic_write import replacing
from .bootstrap import Estimate, Measured, difference
from .ranking import ranking_section
from .run import StudyResults
from .study import Study, studies


def write_page(results: StudyResults, out) -> tuple[Path, Path]:
    """Write ``OUT/analysis.html`` and the same as Markdown.

    Returns:
        Paths of both.
    """
    out = Path(out)
    page = study_page(results)
    html, markdown = out / "analysis.html", out / "analysis.md"
    for path, text in ((html, html_page(page)), (markdown, markdown_page(page, out / "analysis_files"))):
        with replacing(path) as partial:
            Path(partial).write_text(text, encoding="utf-8")
    return html, markdown


def study_page(results: StudyResults) -> Page:
    """The page's content."""
    arms, known = _arms(results), studies()
    short = dict(zip(arms, short_names(list(arms))))
    sections = [
        Section(study.title, [Text(study.about), *_blocks(study, found, arms, short)])
        for study, found in ((known[name], found) for name, found in results.found.items())
        if found
    ]
    compared = _directions(results, arms)
    if compared:
        sections.append(Section("Beside the paper", compared))
    labels = [candidate.label for candidate in results.candidates]
    columns = [name.replace("seed-", "s") for name in short_names(labels)]
    ranking = ranking_section(results.found, labels, columns)
    if ranking is not None:
        sections.insert(0, ranking)
    names = ", ".join(arms)
    return Page(
        f"What the features are worth: {len(results.candidates)} classifiers",
        f"{names}.",
        sections,
        "Numbers in percent unless a unit is given; ± half of a 95 % bootstrap interval over images.",
    )


def _arms(results: StudyResults) -> dict[str, list[str]]:
    """Recipe -> labels of its candidates, in the given order."""
    arms = defaultdict(list)
    for candidate in results.candidates:
        one_of_many = sum(other.arm == candidate.arm for other in results.candidates) > 1
        seeds = candidate.label.startswith(candidate.arm + " ")
        arms[candidate.arm if one_of_many and seeds else candidate.label].append(candidate.label)
    return dict(arms)


def short_names(names: list[str]) -> list[str]:
    """The part in which names of the form ``ARCHITECTURE_RECIPE_DATA [seed]`` differ; other names as they are."""
    split = [name.partition(" ") for name in names]
    parts = [head.split("_") for head, _, _ in split]
    if len(names) < 2 or any(len(one) != 3 for one in parts):
        return names
    varied = [place for place in range(3) if len({one[place] for one in parts}) > 1] or [1]
    short = [
        " ".join([*(one[place] for place in varied), *([tail] if tail else [])])
        for one, (_, _, tail) in zip(parts, split)
    ]
    return short if len(set(short)) == len(short) else names


def _blocks(study: Study, found: dict[str, Measured], arms: dict[str, list[str]], short: dict[str, str]) -> list:
    names = list(dict.fromkeys(name for one in found.values() for name in one.numbers if study.shows(name)))
    if study.rows is not None:
        names.sort(key=lambda name: study.rows.index(name) if name in study.rows else len(study.rows))
    header = ["", *short.values()]
    rows = [
        [
            study.number_words(name),
            *(
                _cell([found[label].numbers[name] for label in labels if name in found.get(label, Measured()).numbers])
                for labels in arms.values()
            ),
        ]
        for name in names
    ]
    several = (
        "Of several seeds: their mean, and the seeds behind it."
        if any(len(labels) > 1 for labels in arms.values())
        else ""
    )
    blocks = [Table(header, rows, " ".join(filter(None, (_notes(found), several))))]
    for series in dict.fromkeys(name for one in found.values() for name in one.series):
        blocks.append(_figure(study, series, found, arms, short))
    return blocks


def _notes(found: dict[str, Measured]) -> str:
    """How it was measured: once what all share, else candidate by candidate."""
    keys = dict.fromkeys(
        key for one in found.values() for key, value in one.notes.items() if not isinstance(value, (list, dict))
    )
    said = []
    for key in keys:
        values = {label: one.notes[key] for label, one in found.items() if key in one.notes}
        alike = len(set(map(str, values.values()))) == 1 and len(values) == len(found)
        labels = short_names(list(values))
        text = (
            next(iter(values.values()))
            if alike
            else ", ".join(f"{value} ({label})" for label, value in zip(labels, values.values()))
        )
        said.append(f"{key.removeprefix('num_').replace('_', ' ')}: {text}")
    return "; ".join(said) + "." if said else ""


def _cell(values: list[Estimate]) -> str:
    if not values:
        return MISSING
    if len(values) == 1:
        one = values[0]
        if not one.replicates:  # one run, no images behind it to draw from
            return f"{one.value:.1f}"
        return f"{one.value:.1f} ± {(one.high - one.low) / 2:.1f}"
    return f"{statistics.mean(one.value for one in values):.1f} ({', '.join(f'{one.value:.1f}' for one in values)})"


def _figure(
    study: Study, series: str, found: dict[str, Measured], arms: dict[str, list[str]], short: dict[str, str]
) -> Figure:
    curves, ticks = [], []
    for number, (arm, labels) in enumerate(arms.items()):
        for place, label in enumerate(labels):
            one = found[label].series.get(series) if label in found else None
            if one is None:
                continue
            ticks = list(zip(one.x, one.names)) or ticks
            errors = [(high - low) / 2 for low, high in zip(one.low, one.high)] or None
            # Places that are words are no axis: points beside each other, no line through them.
            aside = 0.5 * (number / max(1, len(arms) - 1) - 0.5) if one.names and len(arms) > 1 else 0.0
            curves.append(
                Curve(
                    "_" if place else short[arm],
                    [x + aside for x in one.x],
                    one.y,
                    marks=True,
                    color=COLORS[number % len(COLORS)],
                    marker="o" if one.names else None,
                    errors=errors if len(labels) == 1 else None,
                )
            )
    curves += study.reference_curves()
    name = "".join(part if part.isalnum() else "_" for part in f"{study.name} {series}")
    return Figure(draw_svg(Plot(curves, *study.axes, y_from_zero=True, x_ticks=ticks), name), series, name)


# -- beside the paper -------------------------------------------------------------------------------------------------


def recipe(arm: str) -> str:
    """``resnet20_cutmix_cifar10`` -> ``cutmix``: the second part of a config's name, empty where there is none."""
    parts = arm.split("_")
    return parts[1] if len(parts) > 1 else ""


def direction(differences: list[Estimate], expected: float) -> str:
    """``same``, ``opposite`` or ``not distinguishable``; see the module's first lines.

    Args:
        differences: of each seed, recipe minus plain.
        expected: the paper's, whose sign counts.
    """
    if len(differences) < 2:
        return "not distinguishable"
    sign = 1 if expected > 0 else -1
    if all(min(sign * one.low, sign * one.high) > 0 for one in differences):
        return "same"
    if all(max(sign * one.low, sign * one.high) < 0 for one in differences):
        return "opposite"
    return "not distinguishable"


def compare(found: dict[str, Measured], plain: list[str], arm: list[str], name: str) -> list[Estimate]:
    """Differences recipe minus plain of one number, seed by seed in the order given."""
    pairs = [[found.get(label, Measured()).numbers.get(name) for label in pair] for pair in zip(plain, arm)]
    return [difference(first, second) for first, second in pairs if first and second]


def _directions(results: StudyResults, arms: dict[str, list[str]]) -> list:
    plain = next((arm for arm, labels in arms.items() if recipe(arm) == "plain" and len(labels) > 1), None)
    if plain is None:
        return []
    rows: list[list[str]] = []
    published = [(study, name, expected) for study in studies().values() for name, expected in study.published.items()]
    for study, name, expected in published:
        for arm, labels in arms.items():
            if study.name not in results.found or recipe(arm) not in expected:
                continue
            found = compare(results.found[study.name], arms[plain], labels, name)
            if not found:
                continue
            wanted = expected[recipe(arm)]
            words = {1: "higher", -1: "lower"}.get(wanted, f"{wanted:+.1f}")
            told = direction(found, wanted) + (" (one seed)" if len(found) < 2 else "")
            rows.append(
                [
                    f"{study.title}: {study.number_words(name)}",
                    recipe(arm),
                    words,
                    f"{statistics.mean(one.value for one in found):+.1f}",
                    ", ".join(f"{one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]" for one in found),
                    told,
                ]
            )
    if not rows:
        return []
    return [
        Text(
            "Differences from the plain recipe in points. Published ones are CutMix's, of ResNet-50 on ImageNet "
            "(attacks) and of CIFAR-100 models (out of distribution); where the paper shows a figure alone, its "
            "direction in words."
        ),
        Table(["number", "recipe", "published", "here", "each seed, 95 %", "direction"], rows, num_left=2),
    ]
