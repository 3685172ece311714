"""Two detectors side by side: one page and a short table, classes and images that changed, pictures of the most."""

from pathlib import Path

import numpy as np

from ...errors import InputError
from ...evaluation.accumulated import MISSING as NO_OBJECT
from ...evaluation.diagnosis import Diagnosis
from ...evaluation.engines import HotcocoEngine
from ...evaluation.evaluate import evaluate_detections
from ...pages.blocks import Figure, KeyFigures, Page, Pair, Pairs, Section, Table, Text
from ...pages.html import html_page
from ...pages.markdown import markdown_page
from ...pages.plots import draw_bars_svg
from ...pages.words import counted, percent
from ...weights.atomic_write import replacing, require_writable, write_text
from ..evidence import footer
from .compared_inputs import Side, read_sides
from .comparison import ImageChange, changes
from .errors import cut_of

NUM_PICTURES, NUM_IMAGES, NUM_CLASSES, NUM_LINES = 8, 40, 120, 8
_RIGHT, _FALSE, _MISSED = (0, 158, 115), (213, 94, 0), (230, 159, 0)


class Compared:
    """Two detectors on the same images, with what differs.

    Args:
        a, b: the sides.
        score: detections count from this score on; None takes what suits each.
    """

    def __init__(self, a: Side, b: Side, score: float | None):
        self.sides = (a, b)
        self.diagnoses = tuple(Diagnosis(side.found) for side in self.sides)
        self.scores = tuple(cut_of(one) if score is None else score for one in self.diagnoses)
        evaluated = [_evaluated(side) for side in self.sides]
        self.numbers = [one.numbers["bbox"] for one in evaluated]
        self.changes = changes(*self.diagnoses, *self.scores)
        counts = {one["id"]: one for one in evaluated[1].classes["bbox"]}
        self.classes = [(one["name"], one["AP"], counts[one["id"]]["AP"]) for one in evaluated[0].classes["bbox"]]

    @property
    def by_difference(self) -> list[tuple[str, float, float]]:
        """Name and both AP of the classes that have objects, those that changed most first."""
        having = [one for one in self.classes if one[1] != NO_OBJECT]
        return sorted(having, key=lambda one: -abs(one[2] - one[1]))

    def total(self, what: str) -> int:
        """Number of ``gained``, ``lost``, ``new_false`` or ``gone_false`` over all images."""
        return sum(len(getattr(one, what)) for one in self.changes)


def write_comparison(a, b, out, score=None, annotations=None, images=None) -> tuple[list[str], Path]:
    """Write the page.

    Args:
        a, b: work directories, checkpoints in them, or files of results.
        out: HTML file; the same as Markdown goes beside it.
        score: detections count from this score on; None takes what suits each by F1.
        annotations: COCO json that files of results are judged by.
        images: folder of the images; None takes those of the runs.

    Returns:
        lines for the console, and the page.

    Raises:
        InputError: sides that cannot be compared; a file that is no page.
    """
    out = Path(out)
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"expected an HTML file to write, got {out} (-o); name it {out.with_suffix('.html')}")
    require_writable(out)
    compared = Compared(*read_sides(a, b, annotations), score)
    files = out.parent / f"{out.stem}_files"
    page = _page(compared, files, images)
    write_text(out, html_page(page))
    write_text(out.with_suffix(".md"), markdown_page(page, files))
    return console_lines(compared), out


def console_lines(compared: Compared) -> list[str]:
    """What changed, in a few lines."""
    rows = [("", "A", "B", "B − A")]
    for name, words in _headline(compared):
        rows.append((words, *_three(*(one[name] for one in compared.numbers))))
    rows += [(name, *_three(a, b)) for name, a, b in compared.by_difference[:NUM_LINES] if a != b]
    width = max(len(row[0]) for row in rows)
    lines = [
        f"{side}  {one.name}, from score {score:g} on"
        for side, one, score in zip("AB", compared.sides, compared.scores)
    ]
    lines += [f"{row[0]:<{width}}" + "".join(f"{cell or '–':>9}" for cell in row[1:]) for row in rows]
    return [*lines, _words(compared)]


def _words(compared: Compared) -> str:
    images = counted(len(compared.sides[0].found.image_ids), "image")
    gained, false = counted(compared.total("gained"), "object"), counted(compared.total("new_false"), "false detection")
    return (
        f"{len(compared.changes):,} of {images} changed: {gained} found by B alone, {compared.total('lost'):,} by A "
        f"alone; {false} new in B, {compared.total('gone_false'):,} of A gone"
    )


def _headline(compared: Compared) -> list[tuple[str, str]]:
    known = {"mAP": "box AP", "AP": "box AP", "mAP_50": "AP50", "AP50": "AP50", "mAP_75": "AP75", "AP75": "AP75"}
    return [(name, words) for name, words in known.items() if name in compared.numbers[0]]


def _three(a: float, b: float) -> tuple[str, str, str]:
    return percent(a), percent(b), "" if NO_OBJECT in (a, b) else f"{100 * (b - a):+.1f}"


def _evaluated(side: Side):
    found = side.found
    return evaluate_detections(
        HotcocoEngine(found.truth),
        found.detections,
        federated=found.federated,
        image_ids=found.image_ids,
        category_ids=found.judged_ids,
    )


# -- the page ---------------------------------------------------------------------------------------------------------


def _page(compared: Compared, files: Path, images: str | None) -> Page:
    names = [side.name for side in compared.sides]
    sections = [
        Section("What changed", _overview(compared)),
        Section("Classes", _classes(compared)),
        Section("Images", _images(compared, files, images)),
    ]
    return Page(f"{names[0]} and {names[1]}", f"A is {names[0]}, B is {names[1]}.", sections, footer())


def _overview(compared: Compared) -> list:
    (name, words), *_ = _headline(compared)
    a, b, difference = _three(*(one[name] for one in compared.numbers))
    rows = [[words, *_three(*(one[name] for one in compared.numbers))] for name, words in _headline(compared)]
    cut = ", ".join(f"{side} from score {score:g} on" for side, score in zip("AB", compared.scores))
    return [
        KeyFigures(
            [
                (difference, f"{words}, points ({a} to {b})"),
                (f"+{compared.total('gained')} −{compared.total('lost')}", "objects found"),
                (f"+{compared.total('new_false')} −{compared.total('gone_false')}", "false detections"),
                (f"{len(compared.changes):,}", "images changed"),
            ]
        ),
        Text(f"{_words(compared)} ({cut}, matched at IoU 0.5; AP over all scores)."),
        Table(["", "A", "B", "B − A"], rows, "Average precision in percent."),
    ]


def _classes(compared: Compared) -> list:
    found = compared.by_difference
    if not found:
        return [Text("The annotations hold no object.")]
    gains = sorted(((name, 100 * (b - a)) for name, a, b in found[:20] if a != b), key=lambda one: -one[1])
    blocks: list = []
    if gains:
        drawn = draw_bars_svg(gains, "AP of B − AP of A, points", "class-differences")
        blocks.append(Figure(drawn, "The classes that changed most, of those with objects.", "class-differences"))
    more = f" The {NUM_CLASSES} that changed most of {len(found):,}." if len(found) > NUM_CLASSES else ""
    rows = [[name, *_three(a, b)] for name, a, b in found[:NUM_CLASSES]]
    blocks.append(Table(["class", "A", "B", "B − A"], rows, f"Box AP in percent, the largest change first.{more}"))
    return blocks


def _images(compared: Compared, files: Path, images: str | None) -> list:
    if not compared.changes:
        return [Text("No image changed.")]
    names = {one["id"]: str(one.get("file_name", one["id"])) for one in compared.sides[0].found.truth.images}
    rows = [
        [Path(names[one.image_id]).name, *map(str, map(len, (one.gained, one.lost, one.new_false, one.gone_false)))]
        for one in compared.changes[:NUM_IMAGES]
    ]
    blocks: list = []
    opener = next((found for side in compared.sides if (found := side.opener(images)) is not None), None)
    if opener is None:
        blocks.append(Text("Pictures need the images: --images FOLDER.", note=True))
    else:
        blocks += [
            Text(
                "What differs on the images that changed most: green found by this one alone, orange-red false in this "
                "one alone, yellow missed by this one and found by the other."
            ),
            Pairs(
                [_pair(compared, one, opener, files) for one in compared.changes[:NUM_PICTURES]],
                f"A: {compared.sides[0].name}",
                f"B: {compared.sides[1].name}",
            ),
        ]
    more = f" The first {NUM_IMAGES} of {len(compared.changes):,}." if len(compared.changes) > NUM_IMAGES else ""
    header = ["image", "found by B alone", "by A alone", "new false", "false ones gone"]
    return [*blocks, Table(header, rows, f"The images that changed, most first.{more}")]


def _pair(compared: Compared, change: ImageChange, opener, files: Path) -> Pair:
    from PIL import Image

    from ...datasets.visualization.detections import draw_pair

    path, image = opener(change.image_id)
    classes = [str(one["name"]) for one in compared.sides[0].found.truth.categories]
    a, b = compared.diagnoses
    pair = draw_pair(
        image,
        _drawn(a, change.lost, change.gone_false, change.gained),
        _drawn(b, change.gained, change.new_false, change.lost),
        classes,
    )
    folder = files / "changed"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.jpg"
    with replacing(target) as partial:
        Image.fromarray(pair).save(partial, quality=88)
    counts = f"{len(change.gained)} gained, {len(change.lost)} lost, {len(change.new_false)} new false, "
    return Pair(target, f"{path.name}: {counts}{len(change.gone_false)} false gone")


def _drawn(diagnosis: Diagnosis, right: list[int], false: list[int], missed: list[int]):
    """Objects that this side alone finds or misses, and its own false detections."""
    from ...datasets.visualization.detections import DrawnObjects

    objects = {one["id"]: one for one in diagnosis.found.truth.dataset["annotations"]}
    of_objects = [objects[one] for one in [*right, *missed]]
    found = diagnosis.detections
    boxes = np.array([*(one["bbox"] for one in of_objects), *found.boxes_xywh[false].tolist()], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = [*(one["category_id"] - 1 for one in of_objects), *(found.category_ids[false] - 1).tolist()]
    colors = [_RIGHT] * len(right) + [_MISSED] * len(missed) + [_FALSE] * len(false)
    return DrawnObjects(boxes, np.array(labels, int), colors=colors)
