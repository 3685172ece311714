"""What a report says, block by block, from one work directory or from many side by side.

Numbers come from files only; what is not there is shown as a dash and listed at the end. AP is in percent with one
decimal, as papers print it; all digits stay in the JSON files that the report names.
"""

import os
from pathlib import Path

from ..pages.blocks import Figure, KeyFigures, Page, Table, Text
from ..pages.plots import COLORS, Curve, Plot, draw_svg
from ..pages.words import duration, millions, percent
from . import cost_tables, detection_by_class, detection_images  # noqa: F401  their sections
from .detection_comparison import AP_COLUMNS, KIND_WORDS, comparisons, in_order, stage_of
from .evidence import footer
from .groups import RunGroup, describe, describe_all, group_runs, share_words
from .run_record import RunRecord
from .sections import Facts, section, sections_of

VALIDATION_LOSS = "val_loss/loss"  # of frozen_det.ValidationLossHook
AR_COLUMNS = {
    "AR 1": ("AR@1",),
    "AR 10": ("AR@10",),
    "AR 100": ("AR@100",),
    "AR 300": ("AR@300",),
    "small": ("AR_s@100", "ARs@300"),
    "medium": ("AR_m@100", "ARm@300"),
    "large": ("AR_l@100", "ARl@300"),
}


def page_of_one(run: RunRecord, files: Path) -> Page:
    """The report of a single run; pictures drawn for it go to the folder ``files``."""
    group = RunGroup(run.name, [run])
    describe(group)
    facts = Facts([run], [group], stage_of([run]), files)
    return Page(run.name, _sentence(run, group), sections_of("run", facts), footer())


def page_of_many(runs: list[RunRecord], files: Path) -> Page:
    """The report of several runs, group by group; pictures drawn for it go to the folder ``files``."""
    name_apart(runs)
    groups = group_runs(runs)
    describe_all(groups)
    groups = in_order(groups)
    stage = stage_of(runs)
    facts = Facts(runs, groups, stage, files, comparisons(groups, stage))
    sections = sections_of("runs", facts)
    title = f"{len(runs)} runs in {len(groups)} groups" if len(groups) > 1 else f"{groups[0].label}, {len(runs)} runs"
    names = (
        "; ".join(group.label for group in groups)
        if len(groups) <= 4
        else "seeds " + ", ".join(map(str, sorted({run.seed for run in runs if run.seed is not None})))
    )
    return Page(title, f"Side by side: {names}.", sections, footer())


def name_apart(runs: list[RunRecord]) -> None:
    """Give runs whose folders share a name more of their paths, from where the paths part."""
    if len({run.title for run in runs}) < len(runs):
        top = os.path.commonpath([run.work_dir.absolute() for run in runs])
        for run in runs:
            run.title = str(run.work_dir.absolute().relative_to(top)) or Path(top).name


# -- results ------------------------------------------------------------------------------------------------------


def _sentence(run: RunRecord, group: RunGroup) -> str:
    metric = run.main_metric()
    parts = []
    if metric:
        at = run.validations[-1]
        when = f"epoch {at['epoch']}" if at.get("epoch") else f"iteration {at['iter']}"
        parts.append(f"Box AP {percent(run.last(metric))} after {when}")
    if run.proof:
        moved = [check for check in run.proof["checks"] if not check["unchanged"]]
        count = sum(module["num_params"] for module in run.proof["modules"])
        parts.append(
            f"a frozen tensor moved: {moved[0].get('moved', '')}"
            if moved
            else f"{millions(count)} M parameters stayed frozen, bit for bit"
        )
    if run.share not in (None, 1):
        parts.append(f"trained on {share_words(run.share)}")
    if group.description is not None:
        parts.append(f"{100 * group.description.trainable_share:.0f} % of the model trained")
    return "; ".join(parts) + "." if parts else ""


def _results(run: RunRecord, group: RunGroup) -> list:
    metric = run.main_metric()
    if metric is None:
        return [Text("No validation was logged yet.")]
    figures = [(percent(run.last(metric)), "box AP"), (percent(run.last(_at_iou(metric, 50))), "box AP50")]
    if group.description is not None:
        figures.append(
            (
                f"{millions(group.description.trainable_params)} M",
                f"of {millions(group.description.total_params)} M parameters trained",
            )
        )
    if run.training_seconds():
        figures.append((duration(run.training_seconds()), "of training steps"))
    blocks = [KeyFigures(figures)]
    for columns, caption in (
        (
            AP_COLUMNS,
            "Average precision in percent, over IoU 0.50 to 0.95 unless a threshold "
            "stands behind it; small, medium and large objects are up to 32² px, up to 96² px and "
            "beyond.",
        ),
        (AR_COLUMNS, "Average recall in percent, by the number of detections allowed per image, and by size."),
    ):
        table = _numbers_table(run, columns, caption)
        if table:
            blocks.append(table)
    return blocks


def _numbers_table(run: RunRecord, columns: dict, caption: str) -> Table | None:
    """Rows: each kind at the last and the best validation, and the test."""
    metric = run.main_metric()
    prefix = metric.split("/")[0]
    kinds = [kind for kind in KIND_WORDS if run.main_metric(kind)]
    rows = []
    for kind in kinds:
        best, last = run.best(run.main_metric(kind)), run.validations[-1]
        candidates = [(f"{KIND_WORDS[kind]}, last ({_moment(last)})", last)]
        if best is not last:
            candidates.append((f"{KIND_WORDS[kind]}, best ({_moment(best)})", best))
        candidates += [
            (
                f"{KIND_WORDS[kind]}, test",
                {f"{prefix}/{kind}_{name}": value for name, value in one["numbers"].get(kind, {}).items()},
            )
            for one in run.evaluations
            if one["stage"] == "test"
        ]
        rows += [
            [label, *(_first(values, [f"{prefix}/{kind}_{name}" for name in names]) for names in columns.values())]
            for label, values in candidates
        ]
    used = [column for column in range(1, len(columns) + 1) if any(row[column] is not None for row in rows)]
    if not used:
        return None
    header = list(columns)
    return Table(
        [""] + [header[column - 1] for column in used],
        [[row[0], *(percent(row[column]) for column in used)] for row in rows],
        caption,
    )


def _moment(validation: dict) -> str:
    return f"epoch {validation['epoch']}" if validation.get("epoch") else f"iteration {validation['iter']}"


def _first(values: dict, names: list[str]):
    return next((values[name] for name in names if name in values), None)


# -- curves ---------------------------------------------------------------------------------------------------------


def _curves(groups: list[RunGroup]) -> list:
    alone = len(groups) == 1 and len(groups[0].runs) == 1
    loss, scores = _curves_of_one(groups[0].runs[0]) if alone else _curves_of_many(groups)
    figures = []
    if any(curve.x for curve in loss):
        figures.append(
            Figure(
                draw_svg(Plot(loss, "iteration", "loss", y_from_zero=True), "loss"),
                _loss_words(groups[0].runs[0]) if alone else "Training loss.",
                "loss",
            )
        )
    if any(curve.x for curve in scores):
        figures.append(
            Figure(
                draw_svg(Plot(scores, "iteration", "AP, percent", y_from_zero=True), "ap"),
                "Average precision at each validation.",
                "ap",
            )
        )
    return figures


def _loss_words(run: RunRecord) -> str:
    validated = any(VALIDATION_LOSS in one for one in run.validations)
    return f"Training loss{' and the loss on the validation images' * validated}; parts of the former are dashed."


def _curves_of_one(run: RunRecord) -> tuple[list[Curve], list[Curve]]:
    """The loss with its parts; AP, AP50, AP75 and mask AP."""
    losses = [name for name in run.train[-1] if name.startswith("loss")] if run.train else []
    loss = [
        Curve(name.replace("loss_", "").replace("_", " "), *_points(run.train, name), dashed=name != "loss")
        for name in losses
    ]
    loss.insert(1, Curve("validation", *_points(run.validations, VALIDATION_LOSS), marks=True))
    metric = run.main_metric()
    names = [metric, *(_at_iou(metric, iou) for iou in (50, 75)), run.main_metric("segm")] if metric else []
    return loss, [Curve(_short(name), *_points(run.validations, name, 100), marks=True) for name in names if name]


def _curves_of_many(groups: list[RunGroup]) -> tuple[list[Curve], list[Curve]]:
    """One loss and one AP curve for each run, in its group's colour; the group is named once."""
    loss, scores = [], []
    for number, group in enumerate(groups):
        for place, run in enumerate(group.runs):
            label, color = group.label if place == 0 else "_", COLORS[number % len(COLORS)]
            loss.append(Curve(label, *_points(run.train, "loss"), color=color))
            scores.append(Curve(label, *_points(run.validations, run.main_metric(), 100), marks=True, color=color))
    return loss, scores


def _at_iou(metric: str, iou: int) -> str:
    """``coco/bbox_mAP`` -> ``coco/bbox_mAP_50``; ``lvis/bbox_AP`` -> ``lvis/bbox_AP50``."""
    return f"{metric}_{iou}" if metric.endswith("mAP") else f"{metric}{iou}"


def _points(lines: list[dict], name: str | None, factor: float = 1.0) -> tuple[list[float], list[float]]:
    having = [one for one in lines if name in one and one[name] != -1]
    return [one["iter"] for one in having], [factor * one[name] for one in having]


def _short(metric: str) -> str:
    kind, name = metric.split("/")[1].split("_", 1)
    return f"{KIND_WORDS[kind]} {name.replace('mAP', 'AP').replace('_', '')}"


@section("Results", 10, "run")
def _results_of_one(facts: Facts) -> list:
    return _results(facts.runs[0], facts.groups[0])


@section("Training", 20, "run")
@section("Training", 40, "runs")
def _training(facts: Facts) -> list:
    return _curves(facts.groups)
