"""What is taken for what, which kinds of errors cost how much, and what a score means."""

import numpy as np

from ...evaluation.diagnosis import ERRORS, Diagnosis
from ...pages.blocks import Figure, Table, Text
from ...pages.plots import Curve, Plot, draw_matrix_svg, draw_svg
from ...pages.words import percent
from ..passes import diagnosis_of
from ..sections import Facts, section

MOST_IN_MATRIX = 30  # classes; a larger matrix cannot be read
NUM_CONFUSIONS = 20
# Where no threshold can be suggested; what pictures are drawn from too.
SCORE = 0.3
_CALIBRATED = 0.02


def cut_of(diagnosis: Diagnosis) -> float:
    """The suggested threshold, else SCORE."""
    best = diagnosis.curve and diagnosis.curve.best
    return SCORE if best is None else best.threshold


def confusion_blocks(diagnosis: Diagnosis) -> list:
    """The matrix of few classes; of many the confusions that occur most."""
    if diagnosis.found.federated:
        return [
            Text(
                "Left out for LVIS: an image is judged for some classes only, so it is not known what a detection of "
                "another class is taken for."
            )
        ]
    score = cut_of(diagnosis)
    matrix, names = diagnosis.confusion(score), diagnosis.names
    if not matrix.sum():
        return [Text(f"Nothing to compare: no object, and no detection with a score from {score:g} on.")]
    what = f"Detections with a score from {score:g} on, matched at IoU 0.5, those of the right class first"
    blocks: list = []
    if len(names) <= MOST_IN_MATRIX:
        caption = (
            f"{what}. Rows are annotated classes, columns detected ones; last row: detections where no object is, last "
            "column: objects that were not found. The colour is the share of the row."
        )
        drawn = draw_matrix_svg(
            matrix.tolist(), [*names, "no object"], [*names, "not found"], "annotated", "detected", "confusion"
        )
        blocks.append(Figure(drawn, caption, "confusion", wide=True))
    confused = _most_confused(matrix, names)
    if confused:
        caption = f"The classes that are taken for each other most. {what}; share of the annotated class in percent."
        blocks.append(Table(["annotated", "detected as", "times", "share"], confused, caption, num_left=2))
    else:
        blocks.append(Text(f"No class was taken for another. {what}."))
    if len(names) > MOST_IN_MATRIX:
        blocks += _most_missed(matrix, names)
    return blocks


def _most_confused(matrix: np.ndarray, names: list[str]) -> list[list[str]]:
    inner = matrix[:-1, :-1].copy()
    np.fill_diagonal(inner, 0)
    order = np.argsort(-inner, axis=None, kind="stable")[:NUM_CONFUSIONS]
    places = [divmod(int(place), len(names)) for place in order]
    return [
        [names[row], names[column], f"{inner[row, column]:,}", percent(inner[row, column] / matrix[row].sum())]
        for row, column in places
        if inner[row, column]
    ]


def _most_missed(matrix: np.ndarray, names: list[str]) -> list[Table]:
    """Of many classes: those missed most often, and those seen most often where nothing is."""
    tables = []
    for counts, total, header, caption in (
        (matrix[:-1, -1], matrix[:-1].sum(axis=1), ["class", "not found", "share"], "Objects not found"),
        (
            matrix[-1, :-1],
            matrix[:, :-1].sum(axis=0),
            ["class", "times", "of its detections"],
            "Seen where nothing is.",
        ),
    ):
        order = [place for place in np.argsort(-counts, kind="stable")[:NUM_CONFUSIONS].tolist() if counts[place]]
        rows = [[names[one], f"{counts[one]:,}", percent(counts[one] / total[one])] for one in order]
        if rows:
            tables.append(Table(header, rows, f"{caption}: the {len(rows)} classes with the most, percent."))
    return tables


def error_blocks(diagnosis: Diagnosis) -> list:
    """TIDE's kinds of errors: how many, and what mending each would gain."""
    if not diagnosis.num_objects.sum():
        return []
    score = cut_of(diagnosis)
    found = diagnosis.errors(score)
    rows = [
        [words, f"{found['counts'][kind]:,}", percent(found["ap"][kind])]
        for kind, words in sorted(ERRORS.items(), key=lambda one: -found["ap"][one[0]])
    ]
    caption = (
        f"Kinds of errors (TIDE, arXiv 2008.08115): how often with a score from {score:g} on, and by how many points "
        "AP50 would rise if that kind alone were mended, over all scores."
    )
    return [Table(["error", "times", "AP50 lost"], rows, caption)]


def calibration_blocks(diagnosis: Diagnosis) -> list:
    """The reliability picture and the expected calibration error."""
    found = diagnosis.calibration()
    bins = [one for one in found["bins"] if one["count"]]
    if not bins:
        return []
    mean, share = ([one[key] for one in bins] for key in ("avg_confidence", "avg_accuracy"))
    too_high = sum(one["count"] for one in bins if one["avg_confidence"] > one["avg_accuracy"])
    plot = Plot(
        [Curve("as scored", [0, 1], [0, 1], dashed=True), Curve("this detector", mean, share, marks=True)],
        "score",
        "share that is right",
        y_from_zero=True,
    )
    rows = [
        [f"{one['bin_lower']:.1f} – {one['bin_upper']:.1f}", f"{one['count']:,}", percent(a), percent(b)]
        for one, a, b in zip(bins, mean, share)
    ]
    words = (
        f"Expected calibration error {found['ece']:.3f}: a score differs by so much from the share of detections that "
        f"are right at it, on the mean of {found['num_detections']:,} detections (IoU 0.5)."
    )
    if found["ece"] >= _CALIBRATED:
        direction = "high" if 2 * too_high > found["num_detections"] else "low"
        words += f" Most scores are too {direction}: they rank detections, they are no probabilities."
    caption = "Below the dashed line scores promise too much, above it too little."
    return [
        Text(words),
        Figure(draw_svg(plot, "reliability"), caption, "reliability"),
        Table(["scores", "detections", "mean score", "right"], rows, "In percent, by tenths of the score."),
    ]


def _section(build):
    def built(facts: Facts) -> list:
        diagnosis = diagnosis_of(facts.runs[0])
        return [] if diagnosis is None else build(diagnosis)

    return built


section("What is taken for what", 34, "run")(_section(confusion_blocks))
section("Kinds of errors", 36, "run")(_section(error_blocks))
section("What a score means", 38, "run")(_section(calibration_blocks))
