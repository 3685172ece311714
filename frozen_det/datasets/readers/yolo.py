"""YOLO label files to COCO content: boxes and outlines in shares of the image's size.

Refused, with file and line: class numbers without a name, pixels where shares belong, another number of columns; and
images of which not one has a label file, which means that the files are elsewhere.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...text_files import read_lines
from .conversion import CocoWriter, files_in

_SUFFIXES = (".txt", ".TXT", ".Txt")


def yolo_content(
    image_paths: list[Path], root: Path, classes: Mapping[int, str], boxes_only: bool = False, labelled: bool = True
) -> dict:
    """COCO content of YOLO label files: ``class x y width height`` or ``class x0 y0 x1 y1 ...``, shares of the size.

    Args:
        image_paths: The images.
        root: Folder that file names are relative to.
        classes: Names by class number, in label order.
        boxes_only: Whether only the first five numbers count (keypoints follow them).
        labelled: Whether it is an error that no image has a label file. Where some have, the others have no objects.

    Raises:
        InputError: Naming file and line.
    """
    writer = CocoWriter(classes.values(), root)
    without = []
    for path in image_paths:
        image = writer.add_image(path)
        labels = yolo_label_path(path)
        if image is None:
            continue
        if not labels.is_file():
            without.append(labels)
            continue
        for number, line in enumerate(read_lines(labels), start=1):
            if line:
                name, box_xyxy, polygon = _yolo_object(line, f"{labels}:{number}", image, classes, boxes_only)
                writer.add_object(image, name, box_xyxy, polygon)
    if without:
        writer.dropped["images without a label file, taken as empty"] = len(without)
    if labelled and without and len(without) == len(writer.content()["images"]):
        raise InputError(
            f"expected a label file for each image with objects, such as {without[0]} for "
            f"{image_paths[0]}, got none for any of {len(image_paths)} images; the labels of "
            ".../images/a.jpg belong at .../labels/a.txt, or beside the image."
        )
    return writer.content()


def yolo_label_path(image_path: Path) -> Path:
    """The label file of an image: the last folder called ``images`` on its path becomes ``labels``; or beside it. Like
    those of images, its suffix may be in capitals."""
    parts = list(image_path.parts)
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    path = Path(*parts).with_suffix(".txt")
    tries = (one.with_suffix(suffix) for one in (path, image_path) for suffix in _SUFFIXES)
    return next((one for one in tries if one.is_file()), path)


def orphan_labels(image_paths: Iterable[Path]) -> int:
    """Number of files in the images' folders of labels that no image goes with."""
    expected = {yolo_label_path(path) for path in image_paths}
    folders = {path.parent for path in expected if "labels" in path.parts}
    return sum(
        path not in expected and path.name != "classes.txt"
        for folder in folders
        for path in files_in(folder, (".txt",))
    )


def _yolo_object(
    line: str, where: str, image: dict, classes: Mapping[int, str], boxes_only: bool
) -> tuple[str, tuple, list[float] | None]:
    """Class name, box x1, y1, x2, y2 in px, polygon in px or None."""
    try:
        number, *shares = [float(word) for word in line.replace("_", "?").split()]  # Python takes 1_0 for 10
    except ValueError:
        number, shares = math.nan, []
    if boxes_only:
        shares = shares[:4]
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise InputError(
            f"{where}: expected `class x y width height` or `class x0 y0 x1 y1 x2 y2 ...`, got "
            f"{line[:80]!r}; correct the line."
        )
    if number not in classes:  # NaN and 0.5 too; 1.0 is 1
        known = list(classes)
        among = f"from {known[0]} to {known[-1]}" if known[-1] - known[0] == len(known) - 1 else f"among {known[:20]}"
        raise InputError(
            f"{where}: expected a class number {among}, got {number:g}; correct it or add the class to the names."
        )
    if not all(-0.5 <= share <= 1.5 for share in shares):  # NaN fails too
        raise InputError(
            f"{where}: expected shares of the image's size from 0 to 1, got {line[:80]!r}; divide pixels "
            "by width and height."
        )
    if len(shares) == 4 and min(shares[2:]) < 0:
        raise InputError(
            f"{where}: expected width and height not below 0, got {line[:80]!r}; a row is `class x y width height` "
            "with x, y the middle of the box."
        )
    width, height = image["width"], image["height"]
    name = classes[number]
    if len(shares) == 4:
        x, y, w, h = shares
        return name, ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), None
    points = np.clip(np.reshape(shares, (-1, 2)), 0, 1) * (width, height)
    return name, (*points.min(0).tolist(), *points.max(0).tolist()), points.ravel().tolist()
