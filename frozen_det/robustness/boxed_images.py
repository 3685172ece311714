"""Images with boxes of one category each: COCO's json, or CUB-200-2011 as it unpacks.

Refused: a folder with neither, a split without one image of one category.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..datasets.cub import LISTING, read_cub
from ..errors import InputError


@dataclass(frozen=True)
class BoxedImage:
    """One image, the name of its one category, its boxes (x1, y1, x2, y2) and its size, px."""

    path: Path
    category: str
    boxes_xyxy: tuple[tuple[float, float, float, float], ...]
    size_hw: tuple[int, int]


def read_boxed(root, split: str) -> tuple[list[BoxedImage], int]:
    """Images of ``root/annotations/{split}.json`` with boxes of one category; files in ``root/images`` or ``root``.

    A folder with CUB's ``images.txt`` and ``bounding_boxes.txt`` is read as CUB-200-2011.

    Returns:
        the images, and how many were left out because they show several categories or none.

    Raises:
        InputError: no such file, or no image with one category.
    """
    root = Path(root).expanduser()
    if (root / LISTING).is_file() and (root / "bounding_boxes.txt").is_file():
        return _read_birds(root, split), 0
    file = root / "annotations" / f"{split}.json"
    if not file.is_file():
        raise InputError(f"expected COCO-style boxes in {file}, got no such file (--wsol-data).")
    content = json.loads(file.read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in content["categories"]}
    boxes: dict[int, list] = {}
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        boxes.setdefault(one["image_id"], []).append((names[one["category_id"]], (x, y, x + w, y + h)))
    found, num_left_out = [], 0
    for image in content["images"]:
        here = boxes.get(image["id"], [])
        if len({name for name, _ in here}) != 1:
            num_left_out += 1
            continue
        path = next(
            (
                folder / image["file_name"]
                for folder in (root / "images", root)
                if (folder / image["file_name"]).is_file()
            ),
            root / image["file_name"],
        )
        found.append(BoxedImage(path, here[0][0], tuple(box for _, box in here), (image["height"], image["width"])))
    if not found:
        raise InputError(
            f"expected images with boxes of one category in {file}, got none of {num_left_out} (--wsol-data)."
        )
    return found, num_left_out


def _read_birds(root: Path, split: str) -> list[BoxedImage]:
    """CUB's official split; its test images are what ``val`` asks for. Sizes come from the images' heads."""
    birds, classes = read_cub(root)
    found = []
    for bird in birds:
        if bird.split == ("test" if split == "val" else split):
            path = root / "images" / bird.path
            try:
                with Image.open(path) as image:
                    width, height = image.size
            except OSError as error:
                raise InputError(
                    f"expected the image that {root / LISTING} lists, got {path}: {error} (--wsol-data)."
                ) from error
            found.append(BoxedImage(path, classes[bird.label], (bird.box_xyxy,), (height, width)))
    return found
