"""The page of an extension: that the old detector is what it was; AP by class, alone, joined and trained jointly."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.runner.label_classes import label_classes
from ..evaluation.detections import Detections as Evaluated
from ..evaluation.engines import open_engine
from ..evaluation.evaluate import evaluate_detections
from ..evaluation.evaluation_log import shown
from ..evaluation.ground_truth import truth_from_samples
from ..inference.detector import Detections, data_tested_on, load_detector
from ..inference.family import DetectorFamily
from ..inference.joining import join
from ..inference.recorded import building_recorded, recorded_config
from ..pages.markdown import table_line, words
from ..weights.atomic_write import replacing
from ..weights.class_names import stated_classes
from ..weights.loading import read

IOU = 0.5
COLUMNS = ("class", "of", "images", "alone", "beside the other", f"joined, IoU {IOU}", "trained jointly")


def write_page(path: Path, old: Path, new: Path, joint: str | Path | None = None) -> None:
    """Measure both members on their own test data, and write a page.

    Args:
        path: of the page (Markdown).
        old, new: checkpoints of the detector and of the member that extends it.
        joint: of a detector of all classes, or None.
    """
    detectors = {"old": load_detector(None, old), "new": load_detector(None, new)}
    beside = load_detector(None, joint) if joint else None
    data, files = {}, {}
    for name, file in (("old", old), ("new", new)):
        with building_recorded(file):
            data[name] = data_tested_on(_config_of(file))
            files[name] = _images(data[name])
    alone = {name: one(files[name]) for name, one in detectors.items()}
    family = DetectorFamily(members=detectors)
    extended, rows, equal = detectors["new"].extends, [], 0
    assert extended is not None, "the new member was trained by extend"
    for name, one in detectors.items():
        together = family(files[name])
        equal += sum(_is_equal(a, b[name]) for a, b in zip(alone[name], together, strict=True))
        found = [alone[name], [each[name] for each in together], [join(each, IOU) for each in together]]
        found += [beside(files[name])] if beside else []
        measured = average_precisions(data[name], found) if files[name] else []
        for place in one.classes:
            numbers = [shown(column[place]) for column in measured]
            rows.append((place, name, str(len(files[name])), *numbers, *["-"] * (4 - len(numbers))))
    lines = [
        f"# {words(', '.join(detectors['new'].classes))} beside {words(', '.join(detectors['old'].classes))}",
        f"The old detector is `{words(str(old))}`, decoder sha256 {extended.decoder.digest[:12]}: the same before and "
        "after the training of the new member, and as it was loaded here. Both stand on one frozen base, sha256 "
        f"{' '.join(extended.base.values())[:12]}. In {equal} of {sum(map(len, files.values()))} images a member gives "
        "beside the other bit for bit what it gives alone.",
        "\n".join([table_line(COLUMNS), table_line(["---"] * len(COLUMNS)), *map(table_line, rows)]),
        "Box AP of each class over IoU 0.50 to 0.95 on the test images of its own data, where these are. In a list "
        "(`--join`) every class keeps its AP; if of boxes of different members that overlap by more than an IoU only "
        f"the best score stays (`--join {IOU}`), it becomes the one of the column.",
    ]
    with replacing(path) as partial:
        partial.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def average_precisions(data, columns: Sequence[Sequence[Detections]]) -> list[dict[str, float]]:
    """Box AP by class of what was found in the images of a data set; detections of classes that it lacks are left out.

    Args:
        data: in test mode, read.
        columns: each with the detections of every image.
    """
    classes = {name: label for label, name in enumerate(label_classes(data) or ())}
    # Joined data sets may give an id twice.
    truth = [{**data.get_data_info(place), "img_id": place} for place in range(len(data))]
    engine = open_engine(truth_from_samples(truth, list(classes)))
    found = []
    for column in columns:
        images = []
        for info, one in zip(truth, column, strict=True):
            labels = np.array([classes.get(name, -1) for name in one.classes], np.int64)[one.labels]
            kept = {"boxes_xyxy": one.boxes_xyxy[labels >= 0], "scores": one.scores[labels >= 0]}
            images.append(dict(kept, img_id=info["img_id"], labels=labels[labels >= 0], mask_scores=None))
        evaluation = evaluate_detections(engine, Evaluated.from_images(images, range(len(classes))))
        found.append({row["name"]: row["AP"] for row in evaluation.classes["bbox"]})
    return found


def _images(data) -> list[str]:
    """The image files of a data set; none where it is not there."""
    if data is None:
        return []
    data.full_init()
    return [data.get_data_info(place)["img_path"] for place in range(len(data))]


def _is_equal(one: Detections, other: Detections) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("boxes_xyxy", "scores", "labels"))


def _config_of(checkpoint: Path):
    loaded = read(checkpoint)
    return recorded_config(loaded, checkpoint, stated_classes(loaded, str(checkpoint)))
