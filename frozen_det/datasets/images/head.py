"""What an image file says of itself before it is decoded: size, turn, depth, alpha, frames. A few hundred microseconds.

A depth without a declared range (floats, 32-bit integers) and colours that are not RGB, grey or CMYK are faults: what
they would look like in eight bits is anyone's guess.
"""

import os
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from ...text_files import is_readable_kind

_ORIENTATION = 0x0112  # EXIF tag: 1 is upright, 2 to 4 mirror or turn by a half, 5 to 8 turn by a quarter
# Modes of Pillow that become 8-bit RGB in one way only.
_PLAIN_MODES = ("1", "L", "P", "RGB", "RGBA", "RGBX", "LA", "La", "PA", "CMYK", "YCbCr")
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
# Pillow opens 16 bits of these as 32.
_DEEP_FORMATS = ("PNG", "PPM")
# A phone's JPEG may hold a second picture (MPO), which is no animation.
_FORMATS_OF_FRAMES = {"GIF": "frames", "WEBP": "frames", "PNG": "frames", "TIFF": "pages"}
_FORMATS_TURNED = ("JPEG", "MPO")


@dataclass(frozen=True)
class ImageHead:
    """The head of an image file.

    Attributes:
        stored_hw: height and width in px as stored.
        upright_hw: as decoded, turned as EXIF says.
        orientation: EXIF's, 1 to 8; 1 where there is none.
        is_jpeg: JPEG is what every decoder turns; of other formats decoders differ.
        is_deep: 16 bits a channel that Pillow would clip.
        has_alpha: there is a channel of transparency.
        frames: "frames" or "pages" where there is more than one.
        fault: why its pixels cannot be meant, or None.
    """

    stored_hw: tuple[int, int]
    orientation: int = 1
    is_jpeg: bool = False
    is_deep: bool = False
    has_alpha: bool = False
    frames: str | None = None
    fault: str | None = None

    @property
    def upright_hw(self) -> tuple[int, int]:
        return self.stored_hw[::-1] if self.orientation >= 5 else self.stored_hw


def read_head(path: str | os.PathLike) -> ImageHead:
    """The head of an image file.

    Raises:
        OSError: it is not there, or no image.
    """
    if not is_readable_kind(path):
        raise OSError("it is a folder, a pipe or a device")
    try:
        with Image.open(path) as image:
            return _head(image)
    except FileNotFoundError:
        raise
    except Exception:  # Pillow does not know it, finds it too large or breaks off: OpenCV decides
        return _head_by_decoding(path)


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8, of an opened image."""
    if image.format in _FORMATS_TURNED and not image.info.keys() & {"exif", "xmp"}:
        return 1  # of most files; asking for the whole of EXIF takes as long as opening
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is written by everyone, and broken by some
        return 1
    return orientation if orientation in range(1, 9) else 1


def is_deep(mode: str, kind: str | None) -> bool:
    """Whether Pillow's mode in a format of this kind means 16 bits a channel."""
    return mode in _DEEP_MODES or mode == "I" and kind in _DEEP_FORMATS


def depth_fault(mode: str, kind: str | None) -> str | None:
    """Why pixels of Pillow's mode, in a format of this kind, have no meaning in 8-bit RGB; None if they have."""
    if mode in _PLAIN_MODES or is_deep(mode, kind):
        return None
    found = {"F": "floating-point numbers", "I": "32-bit integers", "LAB": "Lab colours", "HSV": "HSV colours"}
    return (
        f"its pixels are {found.get(mode, mode)}, without a range that says what is black and white; save it with "
        "8 bits a channel"
    )


def _head(image: Image.Image) -> ImageHead:
    counted = _FORMATS_OF_FRAMES.get(image.format)
    frames = getattr(image, "n_frames", 1) if counted else 1
    return ImageHead(
        (image.height, image.width),
        orientation_of(image),
        image.format in _FORMATS_TURNED,
        is_deep(image.mode, image.format),
        image.mode in ("RGBA", "LA", "La", "PA") or "transparency" in image.info,
        counted if frames > 1 else None,
        depth_fault(image.mode, image.format),
    )


def _head_by_decoding(path: str | os.PathLike) -> ImageHead:
    """By OpenCV, which reads some kinds that Pillow does not (16-bit colour TIFF, OpenEXR, Radiance)."""
    pixels = decoded(path, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError("it is no image that Pillow or OpenCV can read")
    fault = None if pixels.dtype in (np.uint8, np.uint16) else depth_fault("F", None)
    return ImageHead(
        pixels.shape[:2],
        is_deep=pixels.dtype == np.uint16,
        fault=fault,
        has_alpha=pixels.ndim == 3 and pixels.shape[2] == 4,
    )


def decoded(path: str | os.PathLike, flag: int) -> np.ndarray | None:
    """A file's pixels by OpenCV; None where it cannot."""
    try:
        with open(path, "rb") as file:
            return cv2.imdecode(np.frombuffer(file.read(), np.uint8), flag)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        return None
