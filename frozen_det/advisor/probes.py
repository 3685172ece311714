"""Short frozen probes: a light detector on a frozen backbone, trained for a few updates, its AP on images held out.

A probe is what a frozen run of the study is, cut short: the same decoder, optimiser and batch. It trains on two thirds
of the training images, drawn so that each class has its share and images of nearly the same content stay together; the
others and the validation images are tested. The test split is never read.
"""

import math
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..benchmarks.study.arms import ARMS
from ..benchmarks.study.running import BATCH, ShortTraining, detections_of, num_images, quiet, short_config
from ..benchmarks.study.sets import groups_of, in_shares, in_time, restricted
from ..datasets.readers.annotation_check import read_annotations
from ..datasets.readers.folder_layout import resolve_user_data
from ..engine.runs import host_scope, new_runner
from ..errors import InputError
from ..evaluation.bootstrap import average_precisions, matched, resamples
from ..evaluation.engines import open_engine
from ..evaluation.evaluate import evaluate_detections
from ..weights.atomic_write import write_json

#: After 100, a set's AP at full length is foretold worse than by the mean of the other sets, after 200 better.
UPDATES = 200
#: Of AdamW: what the study chose for frozen runs.
RATE = 1e-3
_PARTS = 3  # of the training images; one is held out
# More would be an epoch of more than UPDATES steps, and no other probe than the study's.
_MOST_TRAINING, _MOST_VALIDATION = 600, 100
_RESAMPLES = 200


@dataclass(frozen=True)
class Probe:
    """What a probe gave.

    Attributes:
        AP: box AP of the images held out, 0 to 1.
        spread: its standard deviation over resamples of these images.
        trained, tested: images.
        steps: updates.
        cpu_s, wall_s: of all of it.
    """

    AP: float
    spread: float
    trained: int
    tested: int
    steps: int
    cpu_s: float
    wall_s: float


def write_split(data: str, folder: Path, seed: int = 0) -> Path:
    """Write the images that probes of a data set train on and are tested on, as a data folder.

    Args:
        data: folder, as of ``train custom``.
        folder: gets ``annotations/{train,val}.json``; images are named where they are.
        seed: of the draws, where there are more images than a probe takes.

    Returns:
        `folder`.

    Raises:
        InputError: data that cannot be read, no object to learn or none to test.
    """
    splits = resolve_user_data(data)
    draw = np.random.default_rng(seed)
    train = _drawn(_placed(*splits["train"]), _MOST_TRAINING, draw)
    groups = groups_of(train, Path("/"))
    parts = in_shares(train, groups, _PARTS, seed)
    if not all(parts):  # one scene: what is held out is the last that was taken
        parts = in_time([[image["id"]] for image in train["images"]], _PARTS)[::-1]
    held = {image for group in parts[0] for image in group}
    ids = {image["id"] for image in train["images"]}
    validation = _drawn(_placed(*splits["val"]), _MOST_VALIDATION, draw)
    for name, content in (
        ("train", restricted(train, ids - held)),
        ("val", _joined(restricted(train, held), validation)),
    ):
        if not content["annotations"]:
            raise InputError(f"expected objects in the {name} images of a probe of {data}, got none.")
        write_json(folder / "annotations" / f"{name}.json", content)
    return folder


def probed(split: Path, backbone: str, size: int, seed: int = 0) -> Probe:
    """Train and test one probe, on the GPU where there is one.

    Args:
        split: of :func:`write_split`.
        backbone: as of ``--backbone``.
        size: side of the images in px.
        seed: of the training.
    """
    wall, processed = time.perf_counter(), time.process_time()
    one = ShortTraining(split, size, backbone, None, ARMS["frozen"], RATE, UPDATES, seed=seed)
    folder = Path(tempfile.mkdtemp(prefix="frozen_det_probe_"))
    try:
        with quiet(folder / "log"), host_scope():
            cfg = short_config(one, folder / "run")
            # Its test, after the training, is the only one.
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
            cfg.test_dataloader.dataset.split = "val"
            runner = new_runner(cfg, concise=True)
            runner.train()
            found = detections_of(runner)
            steps = runner.iter
            trained = len(runner.train_dataloader.dataset)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    truth = read_annotations(split / "annotations" / "val.json")
    AP = evaluate_detections(open_engine(truth), found).numbers["bbox"]["mAP"]
    counts = resamples(len(truth["images"]), _RESAMPLES, seed=0)
    with np.errstate(all="ignore"):
        spread = float(np.std(np.nanmean(average_precisions(matched(truth, found), counts), axis=1)))
    took = time.process_time() - processed, time.perf_counter() - wall
    return Probe(AP, spread, trained, len(truth["images"]), steps, *took)


def steps_of(split: Path) -> float:
    """Training steps that a probe takes as long as: its updates, and a quarter for each tested image.

    Args:
        split: of :func:`write_split`.
    """
    in_epoch = math.ceil(num_images(split, 1.0) / BATCH)
    tested = len(read_annotations(split / "annotations" / "val.json")["images"])
    return in_epoch * max(1, round(UPDATES / in_epoch)) + tested / 4


def _placed(annotations: Path, images: Path) -> dict:
    """A split in the order of its file names, each named by its place; without crowds and objects to be ignored."""
    content = read_annotations(annotations)
    places = [{**one, "file_name": str((images / one["file_name"]).absolute())} for one in content["images"]]
    kept = [one for one in content["annotations"] if not (one.get("iscrowd") or one.get("ignore"))]
    places.sort(key=lambda one: one["file_name"])
    return {"images": places, "annotations": kept, "categories": content["categories"]}


def _drawn(content: dict, most: int, draw: np.random.Generator) -> dict:
    ids = [image["id"] for image in content["images"]]
    return restricted(content, {ids[place] for place in draw.permutation(len(ids))[:most].tolist()})


def _joined(first: dict, other: dict) -> dict:
    """Two contents as one, of the classes of the first, by name."""
    categories = {one["name"]: one["id"] for one in first["categories"]}
    names = {one["id"]: one["name"] for one in other["categories"]}
    images, annotations = list(first["images"]), list(first["annotations"])
    above = 1 + max((one["id"] for one in images), default=0)
    places = {one["id"]: above + number for number, one in enumerate(other["images"])}
    images += [{**one, "id": places[one["id"]]} for one in other["images"]]
    annotations += [
        {**one, "image_id": places[one["image_id"]], "category_id": categories[names[one["category_id"]]]}
        for one in other["annotations"]
        if names[one["category_id"]] in categories
    ]
    annotations = [{**one, "id": number} for number, one in enumerate(annotations, 1)]
    return {"images": images, "annotations": annotations, "categories": first["categories"]}
