"""Pascal VOC and YOLO annotations to COCO content, and one COCO json split into two.

Sizes come from the image files, as the network will see them. Objects that cannot be used are left out and
counted in ``info.dropped``; entries that cannot be meant (an unknown class number, pixels where shares belong)
are refused with file and line.
"""

import math
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError
from .image_files import image_size_hw

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class CocoWriter:
    """Collects images and objects into COCO content with given classes; ids run from 1.

    Args:
        classes: Names in label order.
        images_dir: Folder that file names are relative to.
    """

    def __init__(self, classes: Iterable[str], images_dir: Path) -> None:
        self.images_dir = images_dir
        self.dropped: Counter = Counter()
        self._images: list[dict] = []
        self._annotations: list[dict] = []
        self._ids = {name: number for number, name in enumerate(classes, start=1)}

    def add_image(self, path: Path) -> dict | None:
        """Entry of an image file, or None (counted) where it cannot be read."""
        try:
            height, width = image_size_hw(path)
        except OSError:
            self.dropped["images that cannot be read"] += 1
            return None
        name = os.path.relpath(path, self.images_dir).replace(os.sep, "/")
        self._images.append({"id": len(self._images) + 1, "file_name": name, "height": height, "width": width})
        return self._images[-1]

    def add_object(self, image: dict, name: str, box_xyxy: tuple[float, float, float, float],
                   polygon: list[float] | None = None, crowd: bool = False) -> None:
        """Add one object, its box cut at the image's border; dropped and counted below 1 px.

        Args:
            box_xyxy: In px, a pixel covering [x, x+1].
            polygon: ``[x0, y0, x1, y1, ...]`` in px.
            crowd: Whether it is a region to ignore.
        """
        x1, x2 = (min(max(x, 0.0), image["width"]) for x in box_xyxy[::2])
        y1, y2 = (min(max(y, 0.0), image["height"]) for y in box_xyxy[1::2])
        if x2 - x1 < 1 or y2 - y1 < 1:
            self.dropped["boxes below 1 px or outside their image"] += 1
            return
        area = _polygon_area(polygon) if polygon else (x2 - x1) * (y2 - y1)
        entry = {"id": len(self._annotations) + 1, "image_id": image["id"], "category_id": self._ids[name],
                 "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
                 "area": round(area, 3), "iscrowd": int(crowd)}
        if polygon:
            entry["segmentation"] = [[round(value, 3) for value in polygon]]
        self._annotations.append(entry)

    def content(self) -> dict:
        """The COCO content so far."""
        return {"info": {"dropped": dict(self.dropped)}, "images": self._images,
                "annotations": self._annotations,
                "categories": [{"id": number, "name": name} for name, number in self._ids.items()]}


def voc_classes(xml_paths: Iterable[Path]) -> list[str]:
    """Sorted names of all classes in Pascal VOC files."""
    return sorted({name for path in xml_paths for name in _voc_names(path)})


def voc_content(xml_paths: Iterable[Path], images_dir: Path, classes: Iterable[str]) -> dict:
    """COCO content of Pascal VOC files; the image has the xml's stem, or the name that the xml gives.

    Corners are 1-based and inclusive (VOC development kit), so a box from 1 to 1 is one pixel. Objects marked
    ``difficult`` become regions to ignore.
    """
    writer = CocoWriter(classes, images_dir)
    files = {path.stem: path for path in sorted(images_dir.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
    for xml_path in xml_paths:
        root = _voc_root(xml_path)
        path = files.get(xml_path.stem) or files.get(Path(root.findtext("filename", "")).stem)
        if path is None:
            writer.dropped["xml files without an image"] += 1
            continue
        image = writer.add_image(path)
        if image is None:
            continue
        for box in root.iter("object"):
            corners = _voc_corners(box, xml_path)
            writer.add_object(image, box.findtext("name").strip(), (corners[0] - 1, corners[1] - 1, *corners[2:]),
                              crowd=box.findtext("difficult", "0").strip() == "1")
    return writer.content()


def yolo_content(image_paths: Iterable[Path], root: Path, classes: list[str], boxes_only: bool = False) -> dict:
    """COCO content of YOLO label files: ``class x y width height`` or ``class x0 y0 x1 y1 ...``, shares of the size.

    The labels of ``.../images/a.jpg`` are ``.../labels/a.txt``; an image without a label file has no objects.

    Args:
        image_paths: The images.
        root: Folder that file names are relative to.
        classes: Names by class number.
        boxes_only: Whether only the first five numbers count (keypoints follow them).
    """
    writer = CocoWriter(classes, root)
    for path in image_paths:
        image = writer.add_image(path)
        labels = yolo_label_path(path)
        if image is None:
            continue
        if not labels.exists():
            writer.dropped["images without a label file, taken as empty"] += 1
            continue
        for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                name, box_xyxy, polygon = _yolo_object(line, f"{labels}:{number}", image, classes, boxes_only)
                writer.add_object(image, name, box_xyxy, polygon)
    return writer.content()


def yolo_label_path(image_path: Path) -> Path:
    """The label file of an image: the last folder called ``images`` on its path becomes ``labels``."""
    parts = list(image_path.parts)
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def split_content(content: dict, val_share: float, seed: int) -> dict[str, dict]:
    """Split COCO content by image into ``train`` and ``val``, every class in both where it has two images.

    Goes from the rarest class to the most frequent one and fills its share of validation images from those not
    yet dealt out. The same content, share and seed give the same split, in whatever order the images are listed.
    """
    rng = np.random.default_rng(seed)
    images_of: dict = {category["id"]: set() for category in content["categories"]}
    for annotation in content["annotations"]:
        images_of[annotation["category_id"]].add(annotation["image_id"])
    side: dict = {}
    empty = {image["id"] for image in content["images"]} - set().union(*images_of.values())
    for members in [*sorted(images_of.values(), key=lambda ids: (len(ids), sorted(ids, key=str))), empty]:
        open_ids = [i for i in sorted(members, key=str) if i not in side]
        num_val = sum(side.get(i) == "val" for i in members)
        wanted = max(round(val_share * len(members)), min(1, len(members) - 1)) - num_val
        if len(open_ids) + num_val == len(members):
            wanted = min(wanted, len(open_ids) - 1)  # none of the class trains yet: leave one
        for place, i in enumerate(rng.permutation(len(open_ids))):
            side[open_ids[i]] = "val" if place < wanted else "train"
    return {name: {**content, "images": [i for i in content["images"] if side[i["id"]] == name],
                   "annotations": [a for a in content["annotations"] if side[a["image_id"]] == name]}
            for name in ("train", "val")}


def _voc_root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(f"{path}: expected Pascal VOC xml, got: {error}; repair or remove the file.") from error


def _voc_names(path: Path) -> set[str]:
    names = [box.findtext("name") for box in _voc_root(path).iter("object")]
    if any(not name or not name.strip() for name in names):
        raise InputError(f"{path}: expected a name in each object, got one without; add <name>.")
    return {name.strip() for name in names}


def _voc_corners(box: ElementTree.Element, path: Path) -> list[float]:
    """xmin, ymin, xmax, ymax as they stand in the file."""
    texts = [box.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    try:
        corners = [float(text) for text in texts]
        if not all(map(math.isfinite, corners)):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"{path}: expected xmin, ymin, xmax and ymax as numbers in each bndbox, got {texts} for "
                         f"{box.findtext('name')!r}; correct the file.") from None
    return corners


def _yolo_object(line: str, where: str, image: dict, classes: list[str],
                 boxes_only: bool) -> tuple[str, tuple, list[float] | None]:
    """Class name, box x1, y1, x2, y2 in px, polygon in px or None."""
    try:
        number, *shares = [float(word) for word in line.split()]
    except ValueError:
        number, shares = math.nan, []
    if boxes_only:
        shares = shares[:4]
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise InputError(f"{where}: expected `class x y width height` or `class x0 y0 x1 y1 x2 y2 ...`, got "
                         f"{line.strip()[:80]!r}; correct the line.")
    if number != int(number) or not 0 <= number < len(classes):
        raise InputError(f"{where}: expected a class number from 0 to {len(classes) - 1}, got {number:g}; correct "
                         "it or add the class to the names.")
    if not all(-0.5 <= share <= 1.5 for share in shares):  # NaN fails too
        raise InputError(f"{where}: expected shares of the image's size from 0 to 1, got {line.strip()[:80]!r}; "
                         "divide pixels by width and height.")
    width, height = image["width"], image["height"]
    name = classes[int(number)]
    if len(shares) == 4:
        x, y, w, h = shares
        return name, ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height), None
    points = np.clip(np.reshape(shares, (-1, 2)), 0, 1) * (width, height)
    return name, (*points.min(0).tolist(), *points.max(0).tolist()), points.ravel().tolist()


def _polygon_area(polygon: list[float]) -> float:
    """Area in px^2 by the shoelace formula."""
    x, y = np.reshape(polygon, (-1, 2)).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
