"""The images a detector does best and worst on, from its stored detections: drawn anew, ground truth beside it.

An image counts by its F1 score: predictions from SCORE_THRESHOLD on, matched to objects of their class at IoU 0.5, best
score first; crowds count for nothing. It reads what ``frozen-det test --detections`` stored, else what the run's own
validation saw. It refuses nothing: where detections, annotations or images are gone, the report says so.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.images.pixels import PixelReader
from ..errors import InputError
from ..evaluation.evaluated_pass import read_pass
from ..evaluation.stored_results import read_record, read_results
from ..pages.blocks import Pair, Pairs, Text
from ..pages.words import counted
from ..weights.atomic_write import replacing
from .evidence import MAX_GROUPS_WITH_PICTURES
from .passes import pass_path
from .run_record import RunRecord
from .sections import Facts, section

SCORE_THRESHOLD = 0.3
IOU = 0.5
_SPLITS = {"test": "test", "val": "validation"}


@dataclass
class ImageScore:
    """One image: its F1 score in [0, 1] with what it counts."""

    image_id: int
    f1: float
    num_objects: int
    num_predictions: int
    num_matched: int


def best_and_worst(run: RunRecord, folder: Path, label: str = "", count: int = 2) -> list:
    """Blocks with the ``count`` best and worst images of a run; empty where it stored no detections.

    Args:
        folder: where the drawn pictures go.
    """
    prefix, validated = _stored(run), pass_path(run.work_dir)
    if prefix is None and validated is None:
        return []
    split = "test" if prefix is not None else "val"
    try:
        truth, found = (_truth(prefix), _predictions(prefix)) if prefix is not None else _of_validation(validated)
        scores = ranked(truth, found)
        paths = image_paths(run, split)
    except (InputError, OSError, ValueError, KeyError) as error:
        run.missing.append(f"best and worst images ({str(error).splitlines()[0][:160]})")
        return []
    if not scores:
        return []
    chosen = [one for one in scores[:count] + scores[max(count, len(scores) - count) :] if one.image_id in paths]
    folder = folder / "-".join(run.title.split("/"))
    reader = reader_of(run, split)
    try:
        pairs = [
            Pair(
                _drawn(truth, found, one, paths[one.image_id], reader, folder),
                f"{paths[one.image_id].name}: F1 {one.f1:.2f}, {counted(one.num_objects, 'object')}, "
                f"{counted(one.num_predictions, 'prediction')}, {one.num_matched} matched",
            )
            for one in chosen
        ]
    except InputError as error:  # gone, or broken since
        run.missing.append(f"best and worst images ({str(error)[:160]})")
        return []
    return [
        Text(
            f"{label + ': the' if label else 'The'} best and worst of {len(scores)} {_SPLITS[split]} images with "
            f"objects, by F1 at IoU {IOU:g}, predictions with a score from {SCORE_THRESHOLD:g} on; the best first."
        ),
        Pairs(pairs, "ground truth", "predictions"),
    ]


def ranked(truth: dict, found) -> list[ImageScore]:
    """Scores of all images with objects, the best first; of equal ones those with more objects.

    Args:
        truth: content of a COCO json.
        found: :class:`~frozen_det.evaluation.detections.Detections`, scores from SCORE_THRESHOLD on.
    """
    objects = _by_image(
        (one["image_id"], one["category_id"], one["bbox"]) for one in truth["annotations"] if not one.get("iscrowd")
    )
    order = np.argsort(-found.scores, kind="stable")
    images, categories = found.image_ids.tolist(), found.category_ids.tolist()
    predicted = _by_image((images[i], categories[i], found.boxes_xywh[i]) for i in order.tolist())
    scores = []
    for image_id, of_image in objects.items():
        num_matched = _num_matched(of_image, predicted.get(image_id, []))
        num_predictions = len(predicted.get(image_id, []))
        scores.append(
            ImageScore(
                image_id,
                2 * num_matched / (len(of_image) + num_predictions),
                len(of_image),
                num_predictions,
                num_matched,
            )
        )
    return sorted(scores, key=lambda one: (-one.f1, -one.num_objects, one.image_id))


def _num_matched(objects: list[tuple], predicted: list[tuple]) -> int:
    """Matches of predictions, best score first, each to the free object of its class with the highest IoU."""
    free = list(range(len(objects)))
    for label, box in predicted:
        fitting = [(iou_xywh(box, objects[i][1]), i) for i in free if objects[i][0] == label]
        best = max(fitting, default=(0.0, -1))
        if best[0] >= IOU:
            free.remove(best[1])
    return len(objects) - len(free)


def iou_xywh(a, b) -> float:
    """Intersection over union of two boxes [left, top, width, height]."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - common
    return float(common / union) if union > 0 else 0.0


def _by_image(entries) -> dict[int, list[tuple]]:
    """Image id -> (category id, box) in the order they come."""
    images: dict[int, list[tuple]] = {}
    for image_id, label, box in entries:
        images.setdefault(image_id, []).append((label, box))
    return images


# -- what was stored ------------------------------------------------------------------------------------------------


def _stored(run: RunRecord) -> Path | None:
    """The prefix of the newest detections stored in the work directory."""
    records = sorted(run.work_dir.glob("*/*.evaluation.json"), key=lambda path: path.stat().st_mtime)
    return Path(str(records[-1]).removesuffix(".evaluation.json")) if records else None


def _truth(prefix: Path) -> dict:
    path = read_record(prefix)["ann_file"] or f"{prefix}.gt.json"
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _predictions(prefix):
    return _confident(read_results(f"{prefix}.bbox.json"))


def _of_validation(path: Path):
    """Truth and detections that the training's own validation kept."""
    found = read_pass(path)
    truth = found.content or json.loads(Path(str(found.ann_file)).read_text(encoding="utf-8"))
    shown = set(found.image_ids)
    seen = [one for one in truth["annotations"] if one["image_id"] in shown]
    return {**truth, "annotations": seen}, _confident(found.detections)


def _confident(found):
    return found.take(found.scores >= SCORE_THRESHOLD)


def reader_of(run: RunRecord, split: str) -> PixelReader:
    """Opens the images of a split as its pipeline does."""
    return PixelReader.of(run.config[f"{split}_dataloader"].dataset.get("pipeline") or [])


def image_paths(run: RunRecord, split: str) -> dict[int | str, Path]:
    """Image id, or file as a text, -> file, as the data set of ``val`` or ``test`` finds them.

    Raises:
        InputError: the config has no such data, or they cannot be read.
    """
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    name = f"{split}_dataloader"
    if run.config is None or not run.config.get(name):
        raise InputError(f"no config with {name}")
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build({**run.config[name].dataset, "pipeline": []})
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    paths = [(info["img_id"], Path(info["img_path"])) for info in infos]
    # The members of a joined data set may share ids; the metric then names images by their files.
    return {**dict(paths), **{str(path): path for _, path in paths}}


def _drawn(truth: dict, found, score: ImageScore, path: Path, reader, folder: Path) -> Path:
    """Draw one image with both sides, and write it."""
    from PIL import Image

    from ..datasets.visualization.detections import DrawnObjects, draw_pair

    labels = {category["id"]: label for label, category in enumerate(truth["categories"])}
    of_image = [one for one in truth["annotations"] if one["image_id"] == score.image_id]
    objects = DrawnObjects(
        _xyxy([one["bbox"] for one in of_image]),
        np.array([labels[one["category_id"]] for one in of_image], int),
        ignored=np.array([bool(one.get("iscrowd")) for one in of_image], bool),
    )
    here = found.image_ids == score.image_id
    predictions = DrawnObjects(
        _xyxy(found.boxes_xywh[here]),
        np.array([labels[one] for one in found.category_ids[here].tolist()], int),
        scores=found.scores[here],
    )
    pair = draw_pair(reader.rgb(path), objects, predictions, [category["name"] for category in truth["categories"]])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.jpg"
    with replacing(target) as partial:
        Image.fromarray(pair).save(partial, quality=85)
    return target


def _xyxy(boxes_xywh) -> np.ndarray:
    """(N, 4) corners of N boxes [left, top, width, height]."""
    boxes = np.asarray(boxes_xywh, float).reshape(-1, 4).copy()
    boxes[:, 2:] += boxes[:, :2]
    return boxes


@section("Best and worst images", 50, "run")
def _of_one(facts: Facts) -> list:
    return best_and_worst(facts.runs[0], facts.files, count=4)


@section("Best and worst images", 70, "runs")
def _of_each(facts: Facts) -> list:
    return [
        block
        for group in facts.groups[:MAX_GROUPS_WITH_PICTURES]
        for block in best_and_worst(group.runs[0], facts.files, group.label, count=2)
    ]
