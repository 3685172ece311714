"""Where COCO json is found: one file for each split, as COCO, CVAT and Roboflow name them, or a single one.

Refused: two files that would be the same split. A json without a list of images is none of them.
"""

import json
import os
import re
from collections.abc import Callable, Container
from pathlib import Path

from ...errors import InputError
from ...text_files import is_readable_kind, read_json
from .annotation_check import read_annotations
from .conversion import SPLIT_NAMES, Conversion

_IMAGES = re.compile(rb'"images"\s*:\s*\[')
_FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
_HEAD_BYTES = 2**20
_IMAGE_FOLDERS = ("images", "Images", "JPEGImages", "data")
_BESIDE = "_annotations.coco.json"  # Roboflow's, among the images of a split


def find_coco(root: Path, own: Container[str]) -> dict[str, tuple[Path, Path]] | Conversion | None:
    """COCO json below ``root``.

    Args:
        own: names of files in ``root`` that a conversion wrote.

    Returns:
        split -> json and folder of images where there are ``train`` and ``val``; a conversion where a split has to be
        made; None where there is no json with images.
    """
    splits = {}
    for split, names in SPLIT_NAMES.items():
        found = _split_json(root, split, names)
        if found is not None:
            splits[split] = found
    if {"train", "val"} <= set(splits):
        return splits
    if "train" in splits:
        return _pool(root, splits)
    folders = [folder for folder in (root, root / "annotations") if folder.is_dir()]
    paths = [
        path
        for folder in folders
        for path in sorted(folder.glob("*.json"))
        if not (folder == root and path.name in own) and _lists_images(path)
    ]
    return _pool(root, {"train": (paths[0], _images_of(root, paths[0]))}) if len(paths) == 1 else None


def _split_json(root: Path, split: str, names: tuple[str, ...]) -> tuple[Path, Path] | None:
    """Json and images of a split: annotations/train.json, annotations/instances_train2017.json, or side by side."""
    for name in names:
        path, beside = root / "annotations" / f"{name}.json", root / name / _BESIDE
        if path.exists():
            return path, _images_of(root, path)
        if beside.exists():
            return beside, beside.parent
    pattern = re.compile(rf"instances[_-]({'|'.join(names)})(\d{{4}})?\.json", re.IGNORECASE)
    paths = [path for path in sorted((root / "annotations").glob("*.json")) if pattern.fullmatch(path.name)]
    if len(paths) > 1:
        raise InputError(
            f"expected one json for the split {split} in {root / 'annotations'}, got "
            f"{', '.join(path.name for path in paths)}; move the others away, or name ann_file and "
            "data_prefix in the dataset's config."
        )
    return (paths[0], _images_of(root, paths[0])) if paths else None


def _pool(root: Path, splits: dict[str, tuple[Path, Path]]) -> Conversion:
    """A conversion of json without a validation split."""
    images_dir = splits["train"][1] if len(splits) == 1 else root

    def contents() -> dict[str, dict]:
        found = {"" if split == "train" else split: read_annotations(path) for split, (path, _) in splits.items()}
        for split, (_, folder) in splits.items():
            below = os.path.relpath(folder, images_dir)
            for image in found["" if split == "train" else split]["images"] if below != "." else ():
                image["file_name"] = os.path.join(below, image["file_name"])
        return found

    return Conversion([path for path, _ in splits.values()], images_dir, contents)


def _lists_images(path: Path) -> bool:
    """Whether a json has a list of images, without parsing it."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.replace(b"\0", b"")
    return _IMAGES.search(content) is not None


def _images_of(root: Path, annotations: Path) -> Path:
    """Folder of the images of a json: the first that holds the first image whose name is no whole path, images/ where
    none does."""
    last = re.split("[_-]", annotations.stem)[-1]  # val2017 of instances_val2017
    split = last.rstrip("0123456789")
    alike = next((names for names in SPLIT_NAMES.values() if split.lower() in names), ())
    folders = [base / name for name in dict.fromkeys((last, split, *alike)) for base in (root / "images", root)]
    folders += [*(root / name for name in _IMAGE_FOLDERS), root, annotations.parent]
    name = _first_file_name(annotations)
    holds: Callable[[Path], bool] = lambda folder: name is not None and (folder / name).is_file()  # noqa: E731
    return next(filter(holds, folders), root / "images")


def _first_file_name(path: Path) -> str | None:
    """The first name that is no whole path; the file may be large, and begins with the images most of the time."""
    if not is_readable_kind(path):
        return None  # reading it says so
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for found in _FILE_NAME.finditer(head):
        try:
            name = json.loads(found[1])
        except ValueError:
            return None
        if not os.path.isabs(name):
            return name
    content = read_json(path, "an annotation file")
    images = content.get("images") if isinstance(content, dict) else None
    entries = (one for one in images if isinstance(one, dict)) if isinstance(images, list) else ()
    names = (one.get("file_name") for one in entries)
    return next((name for name in names if isinstance(name, str) and not os.path.isabs(name)), None)
