"""Videos frame by frame, by OpenCV: what can be decoded, with the number and time of each frame.

A video that ends before its header says is told apart from a whole one; one that cannot be opened is refused.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..datasets.images.pixels import PixelReader
from ..errors import InputError, StorageError
from ..text_files import is_readable_kind
from .pictures import Picture


class Video:
    """A video file; iterating gives its frames as :class:`Picture`, each with `frame`, from 0, and `time_s`.

    Args:
        path: of a file that OpenCV can decode.
        stride: every so many frames one is given.

    Attributes:
        fps: frames a second, as the header says, or 25 where it does not.
        stated: number of frames that the header states; 0 where it does not.
        read: how many frames could be decoded so far, those between two strides included.

    Raises:
        InputError: no such file, one that cannot be opened, a stride below 1.
    """

    def __init__(self, path: str | Path, stride: int = 1):
        self.path, self.stride, self.read = Path(path), stride, 0
        if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
            raise InputError(f"expected a stride of whole frames from 1 on, got {stride!r}.")
        if not self.path.exists():
            raise InputError(f"expected a video, but {path} does not exist.")
        if not is_readable_kind(self.path) or not self.path.stat().st_size:
            raise InputError(f"expected a video that can be decoded, got {path}: it is empty or no file.")
        with _silent():
            self._capture = cv2.VideoCapture(str(self.path.resolve()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise InputError(
                f"expected a video that can be decoded, but {path} cannot be opened: it is damaged, cut off before its "
                "index, or in a format that this OpenCV does not know; write it again, for example with ffmpeg."
            )
        fps, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if np.isfinite(fps) and 0 < fps <= 1000 else 25.0
        self.stated = int(count) if np.isfinite(count) and 0 < count < 1e9 else 0

    def __len__(self) -> int:
        """How many frames it should give."""
        return -(-self.stated // self.stride)

    def __iter__(self) -> Iterator[Picture]:
        reader = PixelReader()
        while self._capture.grab():
            number, self.read = self.read, self.read + 1
            if number % self.stride:
                continue
            time = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            decoded, pixels = self._capture.retrieve()
            if decoded:
                time = time if time > 0 or not number else number / self.fps
                yield Picture(None, pixels, reader, number, round(time, 4))
        self._capture.release()

    @property
    def fault(self) -> str | None:
        """After the last frame: what is missing, or None. Headers that count one frame too many are common."""
        if not self.read:
            return f"expected a video with frames, but none of {self.path} can be decoded."
        if self.read < self.stated - 1:
            return (
                f"{self.path} ends after {self.read} of the {self.stated} frames that its header states: it is cut "
                "off or damaged."
            )
        return None

    def require_whole(self) -> None:
        """Raise InputError, after the last frame, if some are missing."""
        if self.fault is not None:
            raise InputError(self.fault)


@contextmanager
def _silent() -> Iterator[None]:
    """OpenCV and FFmpeg print about damaged files, some of it for every block."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when the first video is opened
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(level)


class VideoWriter:
    """Writes frames of one size as an MP4 file; a context. The file is there with the first frame.

    Raises:
        StorageError: on the first frame, if the file cannot be written.
    """

    def __init__(self, path: Path, fps: float):
        self.path, self.fps = path, fps
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def add(self, frame: Image.Image) -> None:
        """Append an RGB image."""
        if self._writer is None:
            with _silent():
                self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.fps, frame.size)
            if not self._writer.isOpened():
                raise StorageError(f"could not write {self.path}: OpenCV opens no MP4 file there. Name another folder.")
        self._writer.write(cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2BGR))

    def __exit__(self, *error) -> None:
        if self._writer is not None:
            self._writer.release()
