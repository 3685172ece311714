"""Is an image file there, and whole? Some OpenCV versions decode a truncated JPEG without an error, others do not."""

import os
from collections.abc import Iterable

import cv2
from PIL import Image, UnidentifiedImageError

from .head import decoded, read_head

# How a complete file ends. Files of these kinds that end otherwise may still be whole, and are decoded to see.
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}


def image_fault(path: str | os.PathLike) -> str | None:
    """What keeps the image file from being decoded to its last row, as text; None if nothing does."""
    fault = "OpenCV cannot decode it (Pillow can: save it again)"
    try:
        with Image.open(path) as image:
            image.load()
    except FileNotFoundError:
        return "there is no such file"
    except (Image.DecompressionBombError, UnidentifiedImageError) as error:
        fault = str(error)  # too large for Pillow, or of a kind that OpenCV alone knows
    except Exception as error:  # broken files reach every kind of exception inside Pillow's decoders
        return str(error) if str(error) else type(error).__name__
    # Pillow forgives a JPEG without its end mark, OpenCV from 4.12 on does not.
    return fault if decoded(path, cv2.IMREAD_COLOR) is None else None


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
    """Height and width in px as detectors decode the file, upright if EXIF marks it as rotated.

    Read from the head of the file, but for turned files other than JPEG, of which OpenCV turns some only. Raises
    OSError if it is no image.
    """
    head = read_head(path)
    if head.orientation < 5 or head.is_jpeg:
        return head.upright_hw
    pixels = decoded(path, cv2.IMREAD_COLOR)
    return head.upright_hw if pixels is None else pixels.shape[:2]


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
