"""Is an image file there, and whole? Some OpenCV versions decode a truncated JPEG without an error, others do not."""

import os
from collections.abc import Iterable

import cv2
from PIL import Image

# How a complete file ends. Files of these kinds that end otherwise may still be whole, and are decoded to see.
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 mean a quarter turn


def image_fault(path: str | os.PathLike) -> str | None:
    """What keeps the image file from being decoded to its last row, in words; None if nothing does."""
    try:
        with Image.open(path) as image:
            image.load()
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error) if str(error) else type(error).__name__
    # Pillow forgives a JPEG without its end mark, OpenCV from 4.12 on does not.
    if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
        return "OpenCV cannot decode it (Pillow can: save it again)"
    return None


def ends_early(path: str | os.PathLike) -> bool:
    """Whether a JPEG or PNG file lacks its end mark; a few microseconds. False for other kinds and missing files."""
    try:
        with open(path, "rb") as file:
            ending = _ENDINGS.get(file.read(2))
            if ending is None:
                return False
            file.seek(-len(ending), os.SEEK_END)
            return file.read() != ending
    except OSError:
        return False


def image_size_hw(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width in px, read from the head of the file. Raises OSError if it is no image.

    A file that is marked as lying on its side is counted upright: that is how mmcv decodes it.
    """
    with Image.open(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def missing_files(paths: Iterable[str]) -> set[str]:
    """Those of the paths that are not there; each folder is listed once, which is quick also over a network."""
    listings: dict[str, set[str]] = {}
    missing = set()
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listings:
            try:
                listings[folder] = set(os.listdir(folder or "."))
            except OSError:
                listings[folder] = set()
        if name not in listings[folder]:
            missing.add(path)
    return missing
