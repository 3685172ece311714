"""What detectors have in common that are called with images, whatever runs them: batches, tiles, flips, videos."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..datasets.images.pixels import PixelReader
from .batches import found_in, or_raise
from .detections import Detections
from .pictures import Picture, pictures_of
from .videos import Video
from .views import WHOLE, Views, found_in_views


class Detecting:
    """Call it with images; what is found in one prepared batch is the subclass's."""

    #: Opens files as the detector does, with the same EXIF rotation: boxes refer to its output.
    reader: PixelReader

    def __call__(
        self,
        images: Any,
        batch_size: int = 1,
        color: str = "bgr",
        tile: int | None = None,
        overlap: float = 0.2,
        flip: bool = False,
    ) -> list[Detections]:
        """Detect in images.

        Args:
            images: an image or any number of them: files, folders, patterns (``photos/**/*.jpg``), Pillow images,
                (H, W, 3) uint8 arrays.
            batch_size: images, or tiles, in one forward pass, at most; those whose padded sizes are equal go together,
                so that what is found is what is found one by one, within float rounding.
            color: of arrays, ``bgr`` as cv2 gives them or ``rgb``.
            tile: side in px of the square tiles that a larger image is seen in, beside the whole of it.
            overlap: least share of a tile that its neighbour sees too.
            flip: whether all is seen mirrored as well. Boxes of one object are merged (:mod:`.views`).

        Returns:
            one :class:`Detections` per image, in a list for a single one as well.

        Raises:
            InputError: an image that is missing, cannot be decoded or has another form; a setting out of range.
        """
        pictures = pictures_of(images, self.reader, color)
        return [or_raise(found) for _, found in self.each(pictures, batch_size, Views(tile, overlap, flip))]

    def video(self, path: Any, batch_size: int = 1, stride: int = 1) -> Iterator[Detections]:
        """Detect in the frames of a video file, as they are asked for.

        Args:
            path: of a file that OpenCV can decode.
            batch_size: frames in one forward pass, at most.
            stride: every so many frames one is looked at.

        Returns:
            one :class:`Detections` for each frame, whose ``picture`` has its number, ``frame``, and ``time_s``.

        Raises:
            InputError: a file that cannot be opened; after the last frame, a video that ends before its header says.
        """
        frames = Video(path, stride)
        for _, found in self.each(frames, batch_size):
            yield or_raise(found)
        frames.require_whole()

    def each(
        self, pictures: Iterable[Picture], batch_size: int = 1, views: Views = WHOLE
    ) -> Iterator[tuple[Picture, Any]]:
        """Each picture in turn with what was found in it, or with the InputError that kept it from being read.

        Args:
            pictures: of :func:`.pictures.pictures_of`; they are read as they are needed.
            batch_size: as in a call; views: tiles and flips.
        """
        return found_in_views(
            pictures, lambda given: found_in(given, self.prepared, self.found, batch_size, self.divisor), views
        )

    @property
    def divisor(self) -> int:
        """The sides of a batch are padded to its multiples."""
        raise NotImplementedError

    def prepared(self, picture: Picture) -> dict:
        """An image as a batch of one, lists under ``inputs`` (images (3, H, W)), ``pictures`` and others.

        Raises:
            InputError: it is missing or cannot be decoded.
        """
        raise NotImplementedError

    def found(self, batch: dict) -> list[Detections]:
        """What is in each image of a batch, that :meth:`prepared` gave or several joined."""
        raise NotImplementedError
