"""A user's data, in any known tree: found, converted to COCO json where needed, split by seed.

Converted json is written beside the data, as a whole or not at all, and again only when the data have changed; no file
of the user's is written over. Any other tree is refused with the trees that are known.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mmengine.logging import print_log

from ...errors import InputError, check_choice
from .coco_trees import find_coco
from .conversion import USELESS_BOXES, Conversion, split_content
from .voc_tree import find_voc
from .yolo_tree import find_yolo

EXPECTED_TREES = """Known trees below the data root:
  COCO json    annotations/{train,val}.json, images/; or annotations/instances_{train,val}2017.json, {train,val}2017/
  single json  annotations.json (the one json with images, there or in annotations/), images/    split by seed
  Roboflow     {train,valid,test}/ with _annotations.coco.json or Pascal VOC xml beside the images
  Pascal VOC   Annotations/*.xml, JPEGImages/ (or images/)    split by ImageSets/Main/{train,val}.txt or by seed
  YOLO         data.yaml or classes.txt (Label Studio), images/, labels/    split by data.yaml, by folders or by seed"""

Splits = dict[str, tuple[Path, Path]]

_MANIFEST = "coco_manifest.json"
_FORMAT = 3  # of what conversions accept and write
_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


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
        got = "a file; unpack archives, and name annotation files as ann_file" if root.exists() else "nothing there"
        raise InputError(f"expected a folder with data at {root} (data_root), got {got}.\n{EXPECTED_TREES}")
    if not 0 < val_share < 1:
        raise InputError(f"expected val_share between 0 and 1, got {val_share}.")
    written = _written(root)
    for find in (lambda: find_coco(root, {_MANIFEST, *written}), lambda: find_voc(root), lambda: find_yolo(root)):
        found = find()
        if isinstance(found, Conversion):
            return _converted(root, found, val_share, seed)
        if found:
            return found
    names = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    raise InputError(
        f"expected one of the known trees at {root} (data_root), got a folder with "
        f"{', '.join(names[:12]) or 'nothing in it'}{', ...' * (len(names) > 12)}.\n{EXPECTED_TREES}"
        f"{_classes_instead(root)}"
    )


def _classes_instead(root: Path) -> str:
    """What to type where the tree is an image folder for classification: pictures alone, in folders side by side."""
    inner = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    inner += [path for one in inner for path in sorted(one.iterdir()) if path.is_dir()]
    holding = [path for path in inner if _pictures_alone(path)]
    if len(holding) < 2:
        return ""
    return (
        f"\nThese are {len(holding)} folders of images without annotations. If each is a class, a classifier learns "
        f"them: frozen-det train custom_imagefolder --data {root}"
    )


def _pictures_alone(folder: Path) -> bool:
    names = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return bool(names) and all(path.suffix.lower() in _PICTURES for path in names)


def _written(root: Path) -> dict[str, str]:
    """Our own json files in ``root`` and their splits, as the manifest names them."""
    return {f"coco_{split}.json": split for split in _manifest(root).get("splits", ())}


def _manifest(root: Path) -> dict:
    try:
        manifest = json.loads((root / _MANIFEST).read_text(encoding="utf-8"))
        return manifest if set(manifest["splits"]) <= {"train", "val", "test"} else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}  # absent, or not ours to trust


def _converted(root: Path, found: Conversion, val_share: float, seed: int) -> Splits:
    """Write ``coco_{split}.json`` into ``root`` unless they are there, made from the same files."""
    digest = _digest(root, found.sources, (val_share, seed))
    manifest, written = _manifest(root), _written(root)
    if manifest.get("digest") == digest and all((root / name).is_file() for name in written):
        return {split: (root / name, found.images_dir) for name, split in written.items()}
    contents = found.contents()
    _check_objects(root, contents.get("", contents.get("train")))
    if "" in contents:
        contents = {**split_content(contents.pop(""), val_share, seed), **contents}
    for split in contents:
        path = root / f"coco_{split}.json"
        if path.exists() and path.name not in written:
            raise InputError(
                f"expected to write the converted annotations to {path}, got a file there that was not "
                "written by a conversion; move or rename it."
            )
    for split, content in contents.items():
        _write_whole(root / f"coco_{split}.json", content)
    _write_whole(root / _MANIFEST, {"digest": digest, "splits": list(contents)})
    _log_conversion(root, contents)
    return {split: (root / f"coco_{split}.json", found.images_dir) for split in contents}


def _check_objects(root: Path, content: dict) -> None:
    """Refuse training data whose objects were all dropped; of data without any, the data set says so."""
    dropped = content["info"].get("dropped", {}) if isinstance(content.get("info"), dict) else {}
    if not content["annotations"] and dropped.get(USELESS_BOXES):
        raise InputError(
            f"{root}: expected at least one object to learn, got {dropped[USELESS_BOXES]} "
            f"{USELESS_BOXES}, and no other; look at the units of their corners."
        )


def _digest(root: Path, sources: Iterable[Path], arguments: tuple) -> str:
    """Of names, sizes and times of change of all files that the json is made from."""
    digest = hashlib.sha256(repr((_FORMAT, arguments)).encode())
    for path in sources:
        status = path.stat()
        digest.update(
            f"{path.relative_to(root) if path.is_relative_to(root) else path}"
            f" {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()


def _log_conversion(root: Path, contents: dict[str, dict]) -> None:
    """One line: what was written, and what was left out."""
    written = ", ".join(
        f"coco_{split}.json ({len(content['images'])} images, {len(content['annotations'])} objects)"
        for split, content in contents.items()
    )
    # Splits of one pool share its info, so each is counted once.
    infos = {id(content.get("info")): content.get("info") for content in contents.values()}.values()
    counted = [info["dropped"] for info in infos if isinstance(info, dict) and isinstance(info.get("dropped"), dict)]
    dropped: Counter = sum(map(Counter, counted), Counter())
    notes = ", ".join(f"{count} {what}" for what, count in dropped.items())
    print_log(f"{root}: wrote {written}{'; counted: ' * bool(notes)}{notes}", "current")


def _write_whole(path: Path, content: dict) -> None:
    """Write a json under another name and rename it: no half-written file is ever read."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8"
        ) as file:
            json.dump(content, file, separators=(",", ":"), allow_nan=False)
        os.chmod(file.name, 0o644)  # temporary files are private
        os.replace(file.name, path)
    except OSError as error:
        raise InputError(
            f"expected to be able to write {path} beside the data, got: {error.strerror}; copy the data "
            "to a folder that can be written to."
        ) from error


def user_split(split: str, ann_file: str, data_root: str, classes_from: str | None) -> tuple[str, dict, str]:
    """ann_file, data_prefix and classes_from of a split of the user's data."""
    if ann_file:
        raise InputError(
            f"expected either ann_file or split in the dataset's config, got both ({ann_file!r} and "
            f"{split!r}); remove one."
        )
    splits = resolve_user_data(data_root)
    check_choice("split", split, splits, f" (what {data_root} holds)")
    annotations, images = splits[split]
    return (
        str(annotations.absolute()),
        {"img": str(images.absolute())},
        (classes_from or str(splits["train"][0].absolute())),
    )
