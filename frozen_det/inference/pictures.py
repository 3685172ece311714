"""Images as they are given to a detector: files, folders, patterns, Pillow images and arrays, one of them or many.

Each becomes a :class:`Picture`, which knows its pixels in the colour order and the orientation that the detector sees.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..datasets.images.head import read_head
from ..datasets.images.pixels import PixelReader, upright_rgb
from ..datasets.readers.conversion import IMAGE_SUFFIXES
from ..errors import InputError, check_choice

COLORS = ("bgr", "rgb")
# Beside those of data sets. What this Pillow and OpenCV cannot decode (most know no HEIC) is said of each file.
OTHER_SUFFIXES = (".gif", ".jp2", ".j2k", ".avif", ".heic", ".heif", ".jfif", ".jpe", ".ppm", ".pgm", ".pbm", ".pnm")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")


@dataclass(frozen=True)
class Picture:
    """One image that was given.

    Attributes:
        path: its file; None where the pixels were given.
        pixels_bgr: (H, W, 3) uint8, blue first; None where a file was given.
        reader: opens the file as the detector does.
        frame, time_s: of a video's frame its number, from 0, and its time.
    """

    path: Path | None
    pixels_bgr: np.ndarray | None = field(default=None, repr=False)
    reader: PixelReader = field(default_factory=PixelReader, repr=False)
    frame: int | None = None
    time_s: float | None = None

    def __str__(self) -> str:
        if self.frame is not None:
            return f"frame {self.frame}"
        return "the image in memory" if self.path is None else str(self.path)

    def bgr(self) -> np.ndarray:
        """(H, W, 3) uint8, blue first; boxes refer to it.

        Raises:
            InputError: a file that is missing or damaged.
        """
        if self.pixels_bgr is not None:
            return self.pixels_bgr
        return self.reader.bgr(self.loaded()["img_path"])

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, contiguous; boxes refer to it.

        Raises:
            InputError: a file that cannot be decoded.
        """
        if self.pixels_bgr is None:
            return self.reader.rgb(self.path)
        return np.ascontiguousarray(self.pixels_bgr[..., ::-1])

    def loaded(self) -> dict:
        """What the detector's test pipeline begins with.

        Raises:
            InputError: a file that is missing or damaged.
        """
        if self.path is None:
            return dict(img=self.pixels_bgr)
        if not os.path.isfile(self.path):
            raise InputError(f"expected an image file, but {self.path} {_instead(self.path)}.")
        try:
            fault = read_head(self.path).fault
        except OSError as error:
            fault = str(error)
        if fault is not None:
            raise InputError(f"expected an image that can be decoded, got {self.path}: {fault}.")
        return dict(img_path=str(self.path))


def pictures_of(images: Any, reader: PixelReader, color: str = "bgr") -> Iterator[Picture]:
    """Each image in turn; what is in memory is looked at when its turn comes, files when they are opened.

    Args:
        images: a file, a folder, a pattern (``photos/**/*.jpg``), a Pillow image, a (H, W, 3) uint8 array, or any
            number of these.
        reader: opens files as the detector does.
        color: of arrays, ``bgr`` as cv2 gives them or ``rgb``. Files and Pillow images know theirs.

    Raises:
        InputError: something else, or a path where nothing is.
    """
    check_choice("color", color, COLORS)
    one = isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4)
    if not one and (isinstance(images, bytes | Mapping) or not isinstance(images, Iterable)):
        raise _refused(images, "")
    return _each([images] if one else images, reader, color)


def _each(images: Iterable, reader: PixelReader, color: str) -> Iterator[Picture]:
    for number, image in enumerate(images):
        if isinstance(image, str | Path):
            for path in image_files([image]):
                if is_video(path):
                    raise InputError(f"expected images, got the video {path}: detector.video({str(path)!r}).")
                yield Picture(path, reader=reader)
        elif isinstance(image, Image.Image):
            yield Picture(None, _of_pillow(image, number, reader.turns), reader)
        elif isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise InputError(
                    f"expected arrays (H, W, 3) of uint8 from 0 to 255, {'blue' if color == 'bgr' else 'red'} first, "
                    f"got {image.shape} of {image.dtype} as image {number}; convert it."
                )
            yield Picture(None, image if color == "bgr" else np.ascontiguousarray(image[..., ::-1]), reader)
        else:
            raise _refused(image, f" as image {number}")


def is_video(path: str | Path) -> bool:
    """Whether a file's name is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def image_files(arguments: Iterable[str | Path], more: tuple[str, ...] = ()) -> list[Path]:
    """The files of paths, folders and patterns, those of a folder or pattern by name.

    What is called like an image, but is none (a link to nothing, a folder), is among them: it is refused by
    name when its turn comes, as a damaged file is.

    Args:
        arguments: a file that is named is taken whatever its suffix.
        more: suffixes of the files of folders and patterns beside those of images.

    Raises:
        InputError: a path or pattern where nothing is, a folder without an image or one that cannot be listed.
    """
    suffixes = tuple(dict.fromkeys((*IMAGE_SUFFIXES, *OTHER_SUFFIXES, *more)))
    files: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if os.path.isfile(path):
            files.append(path)
            continue
        is_pattern = not os.path.isdir(path) and not os.path.lexists(path) and glob.has_magic(str(argument))
        found = map(Path, glob.iglob(str(argument), recursive=True)) if is_pattern else _content(path)
        images = sorted(one for one in found if one.suffix.lower() in suffixes)
        if not images:
            what = "that the pattern matches" if is_pattern else "in the folder"
            raise InputError(f"expected images {what} {argument}, got none (of {', '.join(suffixes)}).")
        files += images
    return list(dict.fromkeys(files))


def _content(folder: Path) -> list[Path]:
    if not os.path.isdir(folder):
        raise InputError(f"expected an image file, a folder or a pattern, but {folder} {_instead(folder)}.")
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"expected a folder of images, but {folder} cannot be listed: {error.strerror}. Change its rights, or name "
            "another one."
        ) from error


def _instead(path: Path) -> str:
    """What is at a path where a file was expected."""
    if os.path.isdir(path):
        return "is a folder"
    if os.path.islink(path):
        return f"is a link to {os.readlink(path)}, where no file is"
    return "is no file, but a pipe or a device" if os.path.exists(path) else "does not exist"


def _of_pillow(image: Image.Image, number: int, turned: bool) -> np.ndarray:
    """(H, W, 3) uint8, blue first, turned as EXIF says where files are."""
    try:
        pixels = np.asarray(upright_rgb(image, turned))
    except (ValueError, OSError) as error:
        raise InputError(
            f"expected a Pillow image of 8 bits that can be read as image {number}, got {error}."
        ) from error
    return np.ascontiguousarray(pixels[..., ::-1])


def _refused(image: Any, where: str) -> InputError:
    return InputError(
        f"expected a file, a folder, a Pillow image, an array (H, W, 3) of uint8, or a list of these, got "
        f"{type(image).__module__}.{type(image).__name__}{where}."
    )
