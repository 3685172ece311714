"""What two detectors saw of the same images: from work directories, checkpoints in them, or stored results."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...datasets.images.pixels import PixelReader
from ...errors import InputError
from ...evaluation.detections import Detections
from ...evaluation.evaluated_pass import BEST, FOLDER, LAST, EvaluatedPass, read_pass
from ...evaluation.ground_truth import read_truth
from ...evaluation.stored_results import read_record, read_results
from ..passes import pass_path
from ..run_record import read_run


@dataclass
class Side:
    """One of the two.

    Attributes:
        name: what a page calls it.
        found: what it saw.
        work_dir: of its run, or None.
    """

    name: str
    found: EvaluatedPass
    work_dir: Path | None = None

    def opener(self, images: str | None) -> Callable[[int | str], tuple[Path, np.ndarray]] | None:
        """A function from an image's id to its file and pixels (H, W, 3) RGB; None where images are not known.

        Raises:
            InputError: a folder or a data set that is not there.
        """
        from ..detection_images import image_paths, reader_of

        if images is not None:
            if not Path(images).is_dir():
                raise InputError(f"expected the folder of the images, got {images}, which does not exist (--images).")
            files = {one["id"]: Path(images, str(one.get("file_name", ""))) for one in self.found.truth.images}
            return lambda number: (files[number], PixelReader().rgb(files[number]))
        if self.work_dir is None:
            return None
        run = read_run(self.work_dir)
        paths, reader = image_paths(run, "val"), reader_of(run, "val")
        return lambda number: (paths[number], reader.rgb(paths[number]))


def read_sides(a: str | Path, b: str | Path, annotations: str | Path | None = None) -> tuple[Side, Side]:
    """Both, on the images and classes that both were judged on.

    Args:
        a, b: work directories, checkpoints, or files of results.
        annotations: COCO json, for results.

    Raises:
        InputError: nothing was kept, or the two were judged by different annotations.
    """
    first, second = read_side(a, annotations), read_side(b, annotations)
    if first.name == second.name:
        first.name, second.name = f"{first.name} (A)", f"{second.name} (B)"
    judged = [_judged_by(one.found) for one in (first, second)]
    if judged[0] != judged[1]:
        raise InputError(
            f"expected two detectors on the same annotations, got {a}, judged by {first.found.truth.where}, and {b}, "
            f"judged by {second.found.truth.where}: other images, classes or objects. Test both on the same data."
        )
    images = _common(first.found.image_ids, second.found.image_ids)
    classes = _common(first.found.judged_ids, second.found.judged_ids)
    if not images or not classes:
        what = "image" if not images else "class"
        raise InputError(f"expected {a} and {b} to be judged on the same images and classes, they share no {what}.")
    for one in (first, second):
        one.found = replace(one.found, image_ids=images, category_ids=classes)
    return first, second


def read_side(given: str | Path, annotations: str | Path | None = None) -> Side:
    """One of them."""
    path = Path(given)
    if path.is_dir():
        kept = pass_path(path)
        if kept is None:
            raise InputError(_nothing_kept(path))
        return Side(path.name, read_pass(kept), path)
    if not path.is_file():
        raise InputError(f"expected a work directory, a checkpoint or a file of results, but {path} does not exist.")
    if path.suffix == ".npz":
        return Side(path.stem, read_pass(path))
    if path.suffix == ".json":
        return Side(path.name.removesuffix(".json"), _results(path, annotations))
    for name in (BEST, LAST):
        kept = path.parent / FOLDER / name
        if kept.is_file():
            found = read_pass(kept)
            if Path(found.facts.get("checkpoint") or "").name == path.name:
                return Side(f"{path.parent.name}/{path.stem}", found, path.parent)
    raise InputError(_nothing_kept(path))


def _nothing_kept(path: Path) -> str:
    return (
        f"expected what a validation of {path} saw, but its work directory keeps none of it ({FOLDER}/{BEST}, {LAST}, "
        "written in training). `frozen-det test CONFIG CHECKPOINT --detections PREFIX` stores PREFIX.bbox.json: "
        "compare that, with --annotations."
    )


def _content(path: Path):
    """The content of a JSON file."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"expected JSON, got none that can be read ({error}) in {path}; write it again.") from error


def _results(path: Path, annotations: str | Path | None) -> EvaluatedPass:
    """A COCO result list, or the predictions.json of `frozen-det predict`."""
    record = path.with_name(path.name.replace(".bbox.json", ".evaluation.json"))
    settings: dict = {}
    if record != path and record.is_file():
        about = read_record(str(path).removesuffix(".bbox.json"))
        settings = about.get("settings") or {}
        stored = path.with_name(path.name.replace(".bbox.json", ".gt.json"))
        annotations = annotations or about.get("ann_file") or (stored if stored.is_file() else None)
    if annotations is None:
        raise InputError(f"expected the annotations that {path} is judged by, got none (--annotations FILE).")
    if not Path(annotations).is_file():
        raise InputError(f"expected an annotation file, but {annotations} does not exist (--annotations).")
    federated = bool(settings.get("federated"))
    truth = read_truth(str(annotations), federated)
    content = _content(path)
    found = _predicted(content, truth, path) if isinstance(content, dict) else read_results(path)
    found = found.finite()
    truth.image_numbers(found.image_ids), truth.category_numbers(found.category_ids)  # refuse those of other data
    return EvaluatedPass(
        truth,
        replace(found, masks=None, mask_scores=None),
        settings.get("image_ids") or truth.image_ids,
        settings.get("category_ids") or truth.category_ids,
        federated,
        str(annotations),
    )


def _predicted(content: dict, truth, path: Path) -> Detections:
    """Predictions with their own numbering of images: these are found by the names of their files."""
    if not isinstance(content.get("images"), list) or not isinstance(content.get("annotations"), list):
        raise InputError(f"expected COCO results or a predictions.json, got another object in {path}.")
    by_name = {Path(str(one.get("file_name", ""))).name: one["id"] for one in truth.images}
    if len(by_name) < len(truth.images):
        raise InputError(f"expected images of different names in {truth.where}, to find those of {path} by them.")
    try:
        return _renumbered(content, by_name, truth, path)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"expected images, categories and annotations as `frozen-det predict` writes them in {path}, got an entry "
            f"that is none ({type(error).__name__}: {error})."
        ) from error


def _renumbered(content: dict, by_name: dict, truth, path: Path) -> Detections:
    images = content["images"]
    ids = {one["id"]: by_name.get(Path(str(one["file_name"])).name) for one in images}
    unknown = [one["file_name"] for one in images if ids[one["id"]] is None]
    if unknown:
        raise InputError(
            f"expected predictions on the images of {truth.where}, got {len(unknown)} others in {path}, the first "
            f"{unknown[0]!r}; detect in the annotated images."
        )
    names = {one["id"]: str(one["name"]) for one in content.get("categories") or []}
    categories = {str(one["name"]): one["id"] for one in truth.categories}
    lacking = sorted(set(names.values()) - set(categories))
    if lacking:
        raise InputError(f"expected the classes of {truth.where} in {path}, got others: {', '.join(lacking[:5])}.")
    results = [
        dict(
            image_id=ids[one["image_id"]],
            category_id=categories[names[one["category_id"]]],
            bbox=one["bbox"],
            score=one["score"],
        )
        for one in content["annotations"]
    ]
    return Detections.from_coco_results(results, str(path))


def _judged_by(found: EvaluatedPass) -> list:
    """What must be equal: images, classes and objects, whatever the file is called."""
    data = found.truth.dataset
    objects = [[one[key] for key in ("image_id", "category_id", "bbox", "iscrowd")] for one in data["annotations"]]
    images = [one["id"] for one in found.truth.images]
    return [images, [one["name"] for one in data["categories"]], objects, found.federated]


def _common(first: list, second: list) -> list:
    others = set(second)
    return [one for one in first if one in others]
