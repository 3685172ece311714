"""Where to cut: precision, recall and F1 by score threshold, and the suggested one, overall and for each class."""

import numpy as np

from ...evaluation.diagnosis import IOU, Diagnosis
from ...evaluation.operating_point import ScoreCurve
from ...pages.blocks import MISSING, Figure, KeyFigures, Table, Text
from ...pages.plots import COLORS, Curve, Plot, draw_svg
from ...pages.words import counted, percent
from ..passes import diagnosis_of, moment, other_metric
from ..sections import Facts, section

MAX_CLASSES = 120
_MAX_POINTS = 400  # of a curve; more cannot be told apart


def threshold_blocks(diagnosis: Diagnosis) -> list:
    """Key figures, curves and the table of classes."""
    curve = diagnosis.curve
    where = f"{moment(diagnosis.found)}, IoU {IOU:g}"
    if curve is None:
        return [Text(f"No threshold can be suggested: there is no object to be found ({where}).")]
    best = curve.best
    if best is None:
        return [
            Text(
                f"No threshold can be suggested: of {counted(len(diagnosis.status), 'detection')} none finds one of "
                f"the {counted(curve.num_objects, 'object')} ({where})."
            )
        ]
    figures = [
        (f"{best.threshold:g}", "suggested score threshold"),
        (f"{best.f1:.2f}", "F1 there, all objects pooled"),
        (percent(best.precision), "precision, percent"),
        (percent(best.recall), "recall, percent"),
    ]
    return [
        KeyFigures(figures),
        Text(
            f"Cut at {best.threshold:g} unless precision or recall matters more: of all thresholds it has the best F1, "
            f"the highest of equals ({where}). It travels in the checkpoint; frozen-det predict draws from it on."
        ),
        _by_threshold(curve, best.threshold),
        _precision_recall(curve, best),
        _classes(diagnosis, best.threshold),
    ]


def _by_threshold(curve: ScoreCurve, threshold: float) -> Figure:
    rows = _thinned(len(curve.scores))
    scores = curve.scores[rows].tolist()
    curves = [
        Curve(name, scores, getattr(curve, name)[rows].tolist(), dashed=name != "f1")
        for name in ("precision", "recall", "f1")
    ]
    curves[2].label = "F1"
    curves.append(Curve("suggested", [threshold], [curve.at(threshold)[2]], marker="o", color=COLORS[4]))
    plot = Plot(curves, "score threshold", "share of 1", y_from_zero=True)
    return Figure(draw_svg(plot, "thresholds"), "Precision, recall and F1 of what has at least a score.", "thresholds")


def _precision_recall(curve: ScoreCurve, best) -> Figure:
    rows = _thinned(len(curve.scores))
    curves = [
        Curve("all classes", curve.recall[rows].tolist(), curve.precision[rows].tolist()),
        Curve("suggested threshold", [best.recall], [best.precision], marker="o", color=COLORS[4]),
    ]
    plot = Plot(curves, "recall", "precision", y_from_zero=True)
    return Figure(
        draw_svg(plot, "precision-recall"), "Precision against recall, all objects pooled.", "precision-recall"
    )


def _thinned(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _MAX_POINTS)).round().astype(int))


def _classes(diagnosis: Diagnosis, threshold: float) -> Table:
    order = np.argsort(-diagnosis.num_objects, kind="stable").tolist()
    shown = sorted(order[:MAX_CLASSES])
    rows = [_row(diagnosis, place, threshold) for place in shown]
    caption = (
        "For each class the threshold with its own best F1, and what it has at the one suggested for all; in percent. "
        "A dash: no object of the class, or nothing right to cut at. With few objects a threshold is a guess."
    )
    if len(order) > len(shown):
        caption += f" Of {len(order):,} classes the {len(shown)} with the most objects."
    header = ["class", "objects", "own threshold", "F1", f"F1 at {threshold:g}", "precision", "recall"]
    return Table(header, rows, caption)


def _row(diagnosis: Diagnosis, place: int, threshold: float) -> list[str]:
    name, count, curve = diagnosis.names[place], int(diagnosis.num_objects[place]), diagnosis.curves[place]
    if curve is None:
        return [name, str(count), *[MISSING] * 5]
    precision, recall, f1 = curve.at(threshold)
    own = [MISSING, MISSING] if curve.best is None else [f"{curve.best.threshold:g}", percent(curve.best.f1)]
    return [name, f"{count:,}", *own, percent(f1), percent(precision), percent(recall)]


@section("Which threshold", 32, "run")
def _of_one(facts: Facts) -> list:
    run = facts.runs[0]
    diagnosis = diagnosis_of(run)
    if diagnosis is not None:
        return threshold_blocks(diagnosis)
    other = other_metric(run)
    if other is None:
        return []
    return [
        Text(
            f"Thresholds, confusions, kinds of errors and doubtful labels are not shown: the run was evaluated by "
            f"{other}, which keeps no boxes; they need frozen_det.CocoMetric or frozen_det.LVISMetric."
        )
    ]
