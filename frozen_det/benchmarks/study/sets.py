"""The data sets of the study: all images of a set in three folds, so that each is tested once.

Images of nearly the same content (thumbnails that correlate above 0.95) stay in one part; of a set that one camera
took, parts are stretches of time. The rest is drawn by a seed, rare classes first: each fold has its share of them.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import partial_path, write_json

NUM_FOLDS = 3
_VALIDATION_PARTS = 7  # one of so many parts of what is not tested
_ALIKE = 0.95
_THUMBNAIL_PX = 24


@dataclass(frozen=True)
class StudySet:
    """One data set.

    Attributes:
        name: of tables and run names.
        folder: below the root of all sets: ``annotations/{train,val,test}.json`` and ``images/``.
        size: side of the training and test images in px.
        source: where it is from, and its licence.
        in_order: one camera took the images in the order of their names.
    """

    name: str
    folder: str
    size: int
    source: str
    in_order: bool = False


_NONE = "none stated: for measuring alone"

SETS = {
    one.name: one
    for one in (
        StudySet("bccd", "bccd", 192, "Shenggan/BCCD_Dataset, MIT"),
        StudySet("kangaroo", "small_sets/kangaroo", 160, f"experiencor/kangaroo, {_NONE}"),
        StudySet("capybara", "small_sets/capybara", 160, "freds0/capybara_dataset, MIT"),
        StudySet(
            "microcontrollers",
            "small_sets/microcontrollers",
            160,
            "TannerGilbert/Tensorflow-Object-Detection-API-Train-Model, MIT",
        ),
        StudySet(
            "playing_cards", "small_sets/playing_cards", 160, "EdjeElectronics object detection tutorial, Apache-2.0"
        ),
        StudySet(
            "street_pedestrians",
            "small_sets/street_pedestrians",
            192,
            f"NanoNets/nanonets-pedestrian-detection, {_NONE}",
            in_order=True,
        ),
        StudySet("indoor_rooms", "small_sets/indoor_rooms", 192, "Cartucho/mAP, Apache-2.0"),
    )
}


def write_folds(one: StudySet, root: Path, out: Path) -> list[Path]:
    """Write the folds of a set as data folders, once.

    Folds of the same annotations at another place are linked to the images there; those that do not say what they are
    from are written anew.

    Args:
        one: the set.
        root: of all sets.
        out: gets ``NAME/fold-K/annotations/{train,val,test}.json``; images are a link. ``NAME/source.json`` says what
            they are from.

    Returns:
        the folders.

    Raises:
        InputError: a split is missing; there are folds of other annotations.
    """
    folders = [out / one.name / f"fold-{fold}" for fold in range(NUM_FOLDS)]
    kept, source = out / one.name / "source.json", _source(root / one.folder)
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if before.get("digest", source["digest"]) != source["digest"]:
        raise InputError(
            f"expected folds of {source['folder']}, got those of {before['folder']} with other annotations, in "
            f"{out / one.name}. Name another --work-dir and other --records, or remove this folder."
        )
    if before == source and all((folder / "annotations" / "test.json").is_file() for folder in folders):
        return folders
    content = joined(root / one.folder)
    groups = groups_of(content, None if one.in_order else root / one.folder / "images")
    parts = in_time(groups, NUM_FOLDS) if one.in_order else in_shares(content, groups, NUM_FOLDS)
    for fold, folder in enumerate(folders):
        rest = [group for number, part in enumerate(parts) if number != fold for group in part]
        pieces = (
            in_time(rest, _VALIDATION_PARTS) if one.in_order else in_shares(content, rest, _VALIDATION_PARTS, fold + 1)
        )
        splits = {"test": parts[fold], "val": pieces[0], "train": [group for piece in pieces[1:] for group in piece]}
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        _link(folder / "images", os.path.abspath(root / one.folder / "images"))
        for split in ("train", "val", "test"):
            ids = {image for group in splits[split] for image in group}
            write_json(folder / "annotations" / f"{split}.json", restricted(content, ids))
    write_json(kept, source)
    return folders


def _source(folder: Path) -> dict[str, str]:
    """Where a set is, and a digest of its annotations."""
    digest = hashlib.sha256()
    for path in _split_files(folder):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return {"folder": str(folder.resolve()), "digest": digest.hexdigest()}


def _link(path: Path, target: str) -> None:
    """Make or replace a link in one step: others may read through it."""
    if path.is_symlink() and os.readlink(path) == target:
        return
    partial = partial_path(path)
    partial.symlink_to(target)
    os.replace(partial, path)


def _split_files(folder: Path) -> list[Path]:
    """Annotations of the three splits of a set.

    Raises:
        InputError: one is missing.
    """
    found = [folder / "annotations" / f"{split}.json" for split in ("train", "val", "test")]
    for path in found:
        if not path.is_file():
            raise InputError(f"expected {path}, a split of the study's sets, but it does not exist.")
    return found


def joined(folder: Path) -> dict:
    """Training, validation and test images of a set as one COCO content, numbered by file name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in _split_files(folder)]
    entries = sorted(
        ((image["file_name"], number, image) for number, one in enumerate(found) for image in one["images"]),
        key=lambda entry: entry[0],
    )
    ids = {(number, image["id"]): place for place, (_, number, image) in enumerate(entries, 1)}
    annotations = [
        {**annotation, "image_id": ids[number, annotation["image_id"]]}
        for number, one in enumerate(found)
        for annotation in one["annotations"]
    ]
    return {
        "images": [{**image, "id": place} for place, (_, _, image) in enumerate(entries, 1)],
        "annotations": [{**annotation, "id": place} for place, annotation in enumerate(annotations, 1)],
        "categories": found[0]["categories"],
    }


def restricted(content: dict, ids: set[int]) -> dict:
    """The content of some images."""
    return {
        "images": [image for image in content["images"] if image["id"] in ids],
        "annotations": [one for one in content["annotations"] if one["image_id"] in ids],
        "categories": content["categories"],
    }


def groups_of(content: dict, images: Path | None) -> list[list[int]]:
    """Ids of images that belong together: of nearly the same content, or each alone without a folder of images."""
    ids = [image["id"] for image in content["images"]]
    if images is None:
        return [[one] for one in ids]
    alike = thumbnails([images / image["file_name"] for image in content["images"]])
    alike = alike @ alike.T > _ALIKE
    leader = list(range(len(ids)))
    for row in range(len(ids)):
        for other in np.flatnonzero(alike[row, :row]):
            old, new = leader[row], leader[other]
            leader = [new if one == old else one for one in leader]
    found: dict[int, list[int]] = {}
    for one, group in zip(ids, leader, strict=True):
        found.setdefault(group, []).append(one)
    return list(found.values())


def thumbnails(paths: Sequence[Path]) -> np.ndarray:
    """(N, 1728) float64 of 24 px colour thumbnails, mean 0 and length 1, so that their products are correlations."""
    import cv2

    small = [
        cv2.resize(cv2.imread(str(path)), (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        for path in paths
    ]
    found = np.stack(small).reshape(len(small), -1).astype(np.float64)
    found -= found.mean(1, keepdims=True)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def in_time(groups: Sequence[list[int]], num: int) -> list[list[list[int]]]:
    """Stretches of about equal length."""
    edges = [round(place * len(groups) / num) for place in range(num + 1)]
    return [list(groups[start:end]) for start, end in zip(edges, edges[1:], strict=False)]


def in_shares(content: dict, groups: Sequence[list[int]], num: int, seed: int = 0) -> list[list[list[int]]]:
    """Parts with about equal shares of every class and of the images: each group, in the order of its rarest class,
    goes where that class is rarest, of those where the fewest images are (after Sechidis et al., ECML 2011)."""
    of_image: dict[int, Counter] = {}
    for one in content["annotations"]:
        of_image.setdefault(one["image_id"], Counter())[one["category_id"]] += 1
    totals: Counter = Counter()
    for counts in of_image.values():
        totals.update(counts)
    drawn = [groups[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    objects = [sum((of_image.get(image, Counter()) for image in group), Counter()) for group in drawn]
    rarest = [min(counts, key=lambda category: (totals[category], category), default=None) for counts in objects]
    order = sorted(range(len(drawn)), key=lambda place: totals[rarest[place]] if rarest[place] is not None else np.inf)
    parts: list[list[list[int]]] = [[] for _ in range(num)]
    held: list[Counter] = [Counter() for _ in range(num)]
    images = [0] * num
    for place in order:
        category = rarest[place]
        least = min(range(num), key=lambda part: (held[part][category] if category is not None else 0, images[part]))
        parts[least].append(drawn[place])
        held[least].update(objects[place])
        images[least] += len(drawn[place])
    return [sorted(part) for part in parts]
