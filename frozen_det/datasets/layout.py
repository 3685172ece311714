"""A user's data, in whatever known tree they lie: found, converted to COCO json where needed, split by seed.

Converted json is written beside the data, as a whole or not at all, and again only when the data have changed.
Any other tree is refused with the trees that are known.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from mmengine.logging import print_log

from ..errors import InputError
from .annotation_check import read_annotations
from .conversion import IMAGE_SUFFIXES, split_content, voc_classes, voc_content, yolo_content

EXPECTED_TREES = """Known trees below the data root:
  COCO json    annotations/train.json, annotations/val.json, images/
  single json  annotations.json (any one json, there or in annotations/), images/     split by seed
  Pascal VOC   Annotations/*.xml, JPEGImages/ (or images/)     split by ImageSets/Main/{train,val}.txt or by seed
  YOLO         data.yaml or classes.txt, images/, labels/      split by data.yaml, by folders or by seed"""

Splits = dict[str, tuple[Path, Path]]

# The names that splits go by; "train" and "val" are ours.
_SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
_IMAGE_FOLDERS = ("images", "Images", "JPEGImages")
_FORMAT = 1


def resolve_user_data(root: str | os.PathLike, val_share: float = 0.2, seed: int = 0) -> Splits:
    """Find the user's data below ``root``.

    Args:
        root: Folder with one of the trees of ``EXPECTED_TREES``.
        val_share: Share of the images that validate where the data are not split.
        seed: Of that split.

    Returns:
        ``train`` and ``val`` (and ``test`` where there is one): path of a COCO json, folder of its images.

    Raises:
        InputError: No known tree, or entries that cannot be used.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"expected a folder with data at {root} (data_root), got nothing there.\n{EXPECTED_TREES}")
    if not 0 < val_share < 1:
        raise InputError(f"expected val_share between 0 and 1, got {val_share}.")
    for find in (_find_coco, _find_single_json, _find_voc, _find_yolo):
        splits = find(root, val_share, seed)
        if splits:
            return splits
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    raise InputError(f"expected one of the known trees at {root} (data_root), got a folder with "
                     f"{', '.join(names[:12]) or 'nothing in it'}{', ...' * (len(names) > 12)}.\n{EXPECTED_TREES}")


def _find_coco(root: Path, val_share: float, seed: int) -> Splits:
    """annotations/{train,val}.json; or, as some services export, {train,valid}/_annotations.coco.json."""
    splits = {}
    for split, names in _SPLIT_NAMES.items():
        for name in names:
            path, beside = root / "annotations" / f"{name}.json", root / name / "_annotations.coco.json"
            if path.is_file():
                splits[split] = (path, _images_of(root, path, names))
            elif beside.is_file():
                splits[split] = (beside, beside.parent)
    return splits if {"train", "val"} <= set(splits) else {}


def _find_single_json(root: Path, val_share: float, seed: int) -> Splits:
    paths = [path for folder in (root, root / "annotations") if folder.is_dir()
             for path in sorted(folder.glob("*.json")) if not path.name.startswith("coco_")]
    if len(paths) != 1:
        return {}
    images_dir = _images_of(root, paths[0], ())

    def convert() -> dict[str, dict]:
        return split_content(read_annotations(paths[0]), val_share, seed)

    return _converted(root, paths, (val_share, seed), convert, images_dir)


def _find_voc(root: Path, val_share: float, seed: int) -> Splits:
    folder = next((root / name for name in ("Annotations", "annotations", "xml") if _files(root / name, (".xml",))),
                  None)
    if folder is None:
        return {}
    xml_paths = _files(folder, (".xml",))
    images_dir = next((root / name for name in ("JPEGImages", "images", "Images", folder.name)
                       if _files(root / name, IMAGE_SUFFIXES)), None)
    if images_dir is None:
        raise InputError(f"expected the images of {folder} in JPEGImages/ or images/ of {root}, got none.\n"
                         f"{EXPECTED_TREES}")
    lists = {split: path for split, names in _SPLIT_NAMES.items() for name in names
             if (path := root / "ImageSets" / "Main" / f"{name}.txt").is_file()}

    def convert() -> dict[str, dict]:
        classes = voc_classes(xml_paths)
        if not {"train", "val"} <= set(lists):
            return split_content(voc_content(xml_paths, images_dir, classes), val_share, seed)
        return {split: voc_content([folder / f"{stem}.xml" for stem in path.read_text().split()], images_dir, classes)
                for split, path in lists.items()}

    return _converted(root, [*xml_paths, *lists.values()], (val_share, seed), convert, images_dir)


def _find_yolo(root: Path, val_share: float, seed: int) -> Splits:
    config_path = next((path for path in _files(root, (".yaml", ".yml")) if "names" in _yaml(path)), None)
    names_path = root / "classes.txt"
    if config_path is not None:
        config = _yaml(config_path)
        names = config["names"]
        names = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
        images = {split: paths for split, keys in _SPLIT_NAMES.items() for key in keys
                  if (paths := _yolo_images(root, config, key))}
    elif names_path.is_file() and (root / "labels").is_dir():
        config, config_path = {}, names_path
        names = [line.strip() for line in names_path.read_text(encoding="utf-8").splitlines() if line.strip()]
        images = {split: paths for split, keys in _SPLIT_NAMES.items() for key in keys
                  if (paths := _files(root / "images" / key, IMAGE_SUFFIXES))}
    else:
        return {}
    if not {"train", "val"} <= set(images):
        pool = images.get("train") or _files(root / "images", IMAGE_SUFFIXES)
        if not pool:
            raise InputError(f"expected images where {config_path} says, or in {root / 'images'}, got none.\n"
                             f"{EXPECTED_TREES}")
        images = {"": pool, **{split: paths for split, paths in images.items() if split == "test"}}

    def convert() -> dict[str, dict]:
        boxes_only = "kpt_shape" in config
        contents = {split: yolo_content(paths, root, list(map(str, names)), boxes_only)
                    for split, paths in images.items()}
        return {**split_content(contents.pop(""), val_share, seed), **contents} if "" in contents else contents

    sources = [config_path, *(path for paths in images.values() for path in paths),
               *sorted(root.glob("**/labels/**/*.txt"))]
    return _converted(root, sources, (val_share, seed), convert, root)


def _yolo_images(root: Path, config: dict, key: str) -> list[Path]:
    """Images of one split of a data.yaml: a folder, a text file with paths, or a list of those."""
    found: list[Path] = []
    entries = config.get(key) or []
    for entry in entries if isinstance(entries, list) else [entries]:
        # Some exports name folders relative to one that is not there: "../train/images".
        bases = [root / str(config.get("path", "")), root]
        tries = [base / name for base in bases for name in (entry, entry.removeprefix("../"))]
        path = next((path for path in tries if path.exists()), None)
        if path is None:
            raise InputError(f"expected the images of {key!r} at {entry!r}, as data.yaml in {root} says, got "
                             "nothing there; correct path or the entry.")
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        else:
            found += [path.parent / line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return found


def _converted(root: Path, sources: Iterable[Path], arguments: tuple, convert: Callable[[], dict[str, dict]],
               images_dir: Path) -> Splits:
    """Write ``coco_{split}.json`` into ``root`` unless they are there, made from the same files."""
    digest = hashlib.sha256(repr((_FORMAT, arguments)).encode())
    for path in sources:
        status = path.stat()
        digest.update(f"{path.relative_to(root) if path.is_relative_to(root) else path}"
                      f" {status.st_size} {status.st_mtime_ns}\n".encode())
    manifest_path = root / "coco_manifest.json"
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        splits = {split: (root / f"coco_{split}.json", images_dir) for split in manifest["splits"]}
        if manifest["digest"] == digest.hexdigest() and all(path.is_file() for path, _ in splits.values()):
            return splits
    except (OSError, ValueError, KeyError, TypeError):
        pass  # absent, or not ours to trust: convert
    contents = convert()
    splits = {split: (root / f"coco_{split}.json", images_dir) for split in contents}
    for split, content in contents.items():
        _write_whole(splits[split][0], content)
    _write_whole(manifest_path, {"digest": digest.hexdigest(), "splits": list(contents)})
    _log_conversion(root, contents)
    return splits


def _log_conversion(root: Path, contents: dict[str, dict]) -> None:
    """One line: what was written, and what was left out."""
    written = ", ".join(f"coco_{split}.json ({len(content['images'])} images, {len(content['annotations'])} objects)"
                        for split, content in contents.items())
    # Splits of one pool share its info, so each is counted once.
    infos = {id(content.get("info")): content.get("info") for content in contents.values()}.values()
    dropped: Counter = sum((Counter(info.get("dropped")) for info in infos if isinstance(info, dict)), Counter())
    notes = ", ".join(f"{count} {what}" for what, count in dropped.items())
    print_log(f"{root}: wrote {written}{'; counted: ' * bool(notes)}{notes}", "current")


def _write_whole(path: Path, content: dict) -> None:
    """Write a json under another name and rename it: nobody ever reads half a file."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False,
                                         encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"), allow_nan=False)
        os.chmod(file.name, 0o644)  # temporary files are private
        os.replace(file.name, path)
    except OSError as error:
        raise InputError(f"expected to be able to write {path} beside the data, got: {error.strerror}; copy the data "
                         "to a folder that can be written to.") from error


def _images_of(root: Path, annotations: Path, split_names: Iterable[str]) -> Path:
    """Folder of the images of a json: images/ if there is no other, else the first that holds its first image."""
    nested = [root / "images" / name for name in split_names]
    if (root / "images").is_dir() and not any(folder.is_dir() for folder in nested):
        return root / "images"  # without reading the json, which may be large
    folders = [root / "images", *nested, *(root / name for name in split_names),
               *(root / name for name in _IMAGE_FOLDERS), root, annotations.parent]
    folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    images = read_annotations(annotations, labelled=False)["images"]
    return next((folder for folder in folders if images and (folder / images[0]["file_name"]).is_file()),
                root / "images")


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of a folder with one of the suffixes, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def _yaml(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError) as error:
        raise InputError(f"{path}: expected yaml, got: {error}; repair the file.") from error
    return content if isinstance(content, dict) else {}
