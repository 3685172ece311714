"""Annotations of other formats to COCO content, and one COCO json split into two.

Sizes come from the image files, as the network will see them; files that cannot be read are refused. Objects that
cannot be used are left out and counted in ``info.dropped``.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..images.files import image_size_hw
from ..images.head import read_head
from .polygons import polygon_area

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

USELESS_BOXES = "boxes below 1 px or outside their image"
_STICKING_OUT = "boxes sticking out of their image, cut at its border"
_TURNED = "images turned or mirrored by EXIF; boxes are taken to be those of the picture as it is shown"

# The names that splits go by; "train" and "val" are ours.
SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class Conversion:
    """Data that have to become COCO json.

    Attributes:
        sources: Files that the json is made from; it is made again when one of them changes.
        images_dir: Folder that file names are relative to.
        contents: Gives the COCO content of each split; that of "" is to be split into ``train`` and ``val``.
    """

    sources: list[Path]
    images_dir: Path
    contents: Callable[[], dict[str, dict]]


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of a folder with one of the suffixes, sorted, hidden ones left out (macOS writes ``._a.jpg`` beside
    ``a.jpg``); none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != ".")


class CocoWriter:
    """Collects images and objects into COCO content with given classes; ids run from 1.

    Args:
        classes: Names in label order.
        images_dir: Folder that file names are relative to.
    """

    def __init__(self, classes: Iterable[str], images_dir: Path) -> None:
        self.images_dir = images_dir
        self.dropped: Counter = Counter()
        self._unreadable: list[tuple[Path, OSError]] = []
        self._images: list[dict] = []
        self._annotations: list[dict] = []
        self._ids = {name: number for number, name in enumerate(classes, start=1)}

    def add_image(self, path: Path) -> dict | None:
        """Entry of an image file, or None where it cannot be read, which :meth:`content` refuses."""
        try:
            height, width = image_size_hw(path)
            self.dropped[_TURNED] += read_head(path).orientation > 1
        except OSError as error:
            self._unreadable.append((path, error))
            return None
        name = os.path.relpath(path, self.images_dir).replace(os.sep, "/")
        self._images.append({"id": len(self._images) + 1, "file_name": name, "height": height, "width": width})
        return self._images[-1]

    def add_object(
        self,
        image: dict,
        name: str,
        box_xyxy: tuple[float, float, float, float],
        polygon: list[float] | None = None,
        crowd: bool = False,
    ) -> None:
        """Add one object, its box cut at the image's border; dropped and counted below 1 px.

        Args:
            box_xyxy: In px, a pixel covering [x, x+1].
            polygon: ``[x0, y0, x1, y1, ...]`` in px.
            crowd: Whether it is a region to ignore.
        """
        x1, x2 = (min(max(x, 0.0), image["width"]) for x in box_xyxy[::2])
        y1, y2 = (min(max(y, 0.0), image["height"]) for y in box_xyxy[1::2])
        if x2 - x1 < 1 or y2 - y1 < 1:
            self.dropped[USELESS_BOXES] += 1
            return
        cut = (x1 - box_xyxy[0], y1 - box_xyxy[1], box_xyxy[2] - x2, box_xyxy[3] - y2)
        self.dropped[_STICKING_OUT] += max(cut) > 1  # a pixel is a matter of counting from 0 or 1
        area = polygon_area(polygon) if polygon else (x2 - x1) * (y2 - y1)
        entry = {
            "id": len(self._annotations) + 1,
            "image_id": image["id"],
            "category_id": self._ids[name],
            "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
            "area": round(area, 3),
            "iscrowd": int(crowd),
        }
        if polygon:
            entry["segmentation"] = [[round(value, 3) for value in polygon]]
        self._annotations.append(entry)

    def content(self) -> dict:
        """The COCO content so far.

        Raises:
            InputError: there were images that cannot be read.
        """
        if self._unreadable:
            path, error = self._unreadable[0]
            raise InputError(
                f"expected images that can be read, got {len(self._unreadable)} that cannot be, the first {path}: "
                f"{error}; replace the files, or remove them and their annotations."
            )
        return {
            "info": {"dropped": dict(+self.dropped)},
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": number, "name": name} for name, number in self._ids.items()],
        }


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
    return {
        name: {
            **content,
            "images": [i for i in content["images"] if side[i["id"]] == name],
            "annotations": [a for a in content["annotations"] if side[a["image_id"]] == name],
        }
        for name in ("train", "val")
    }
