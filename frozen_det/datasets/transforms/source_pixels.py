"""Source pixels of a sample: decoded at the smallest size that serves, resampled only inside a window."""

import cv2
import mmcv
import numpy as np
from mmengine.fileio import get

from ...errors import InputError
from ...ops.windows import JitterDraw, Window, jitter_window
from ..images.check import size_fault

_REDUCED_FLAGS = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class SourcePixels:
    """Opens the images of samples.

    Args:
        output_hw: Height and width that jitters are relative to.
        reduced_decoding: Whether a JPEG may be decoded at a half, quarter or eighth of its size where the window
            shrinks it at least that much. Faster, and averaged instead of aliased.
        imdecode_backend, backend_args: As in mmcv's LoadImageFromFile.
    """

    def __init__(
        self,
        output_hw: tuple[int, int],
        reduced_decoding: bool = True,
        imdecode_backend: str = "cv2",
        backend_args: dict | None = None,
    ) -> None:
        self.output_hw = output_hw
        self.reduced_decoding = reduced_decoding
        self.imdecode_backend = imdecode_backend
        self.backend_args = backend_args

    def plan(self, results: dict, draw: JitterDraw) -> Window | None:
        """The window of a draw by the size that the annotation declares; None if it declares none."""
        if "img" in results:
            return jitter_window(draw, results["img"].shape[:2], self.output_hw, reduce=False)
        source_hw = results.get("height"), results.get("width")
        if not all(source_hw):
            return None
        return jitter_window(draw, source_hw, self.output_hw, reduce=self.reduced_decoding)

    def open(self, results: dict, draw: JitterDraw) -> tuple[np.ndarray, Window]:
        """The pixels of a sample and the window of a draw on them.

        Args:
            results: ``img`` if loaded, else ``img_path`` and, where known, ``height`` and ``width``.
            draw: The draw.

        Returns:
            The image (h, w, 3) uint8 at 1 / ``window.reduction`` of the source size, and the window.

        Raises:
            InputError: The file cannot be decoded, or is of another size than the annotation declares.
        """
        window = self.plan(results, draw)
        if "img" in results:
            return results["img"], window
        content = get(results["img_path"], backend_args=self.backend_args)
        if window is not None and window.reduction > 1:
            image = self._decode_reduced(content, window.reduction)
            if image is not None and image.shape[:2] == _reduced_hw(window):
                return image, window
        image = self.decode(content, results["img_path"])
        _check_size(results, image.shape[:2])
        if window is None or window.reduction > 1:
            window = jitter_window(draw, image.shape[:2], self.output_hw, reduce=False)
        return image, window

    def read(self, results: dict) -> np.ndarray:
        """The whole image of a sample, (H, W, 3) uint8, of the size that is declared, as in :meth:`open`."""
        if "img" in results:
            return results["img"]
        image = self.decode(get(results["img_path"], backend_args=self.backend_args), results["img_path"])
        _check_size(results, image.shape[:2])
        return image

    def decode(self, content: bytes, path: str) -> np.ndarray:
        """A file's content as (H, W, 3) uint8 in BGR order."""
        try:
            image = mmcv.imfrombytes(content, flag="color", backend=self.imdecode_backend)
        except Exception as error:
            raise InputError(
                f"expected an image, got {len(content)} bytes that cannot be decoded ({error}) in "
                f"{path}; restore the file or take it out of the annotations."
            ) from error
        if image is None:
            raise InputError(
                f"expected an image, got {len(content)} bytes that cannot be decoded in {path}; "
                "restore the file or take it out of the annotations."
            )
        return image

    def _decode_reduced(self, content: bytes, reduction: int) -> np.ndarray | None:
        """A JPEG at a fraction of its size; None for other files and where cv2 is not the backend."""
        if self.imdecode_backend != "cv2" or content[:2] != b"\xff\xd8":
            return None
        return cv2.imdecode(np.frombuffer(content, np.uint8), _REDUCED_FLAGS[reduction])


def resampled(image: np.ndarray, window: Window, image_origin_xy: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The pixels that a window shows, by bilinear interpolation.

    A window of the whole image gives what mmdet's Resize gives, bit by bit.

    Args:
        image: (h, w, 3) uint8 at 1 / ``window.reduction`` of the source size.
        window: The window.
        image_origin_xy: Source column and row where ``image`` begins, if it is only a part of the source.

    Returns:
        (H, W, 3) uint8 of ``window.size_hw``, contiguous.
    """
    height, width = window.size_hw
    factor_x, factor_y = (scale * window.reduction for scale in window.scale_xy)
    first_x, first_y = ((o - i) // window.reduction for o, i in zip(window.origin_xy, image_origin_xy))
    assert first_x >= 0 and first_y >= 0
    crop = image[
        first_y : first_y + int(np.ceil((height + 1) / factor_y)) + 1,
        first_x : first_x + int(np.ceil((width + 1) / factor_x)) + 1,
    ]
    # Without a size, cv2 samples at exactly these factors instead of stretching the crop to whole pixels.
    output = cv2.resize(crop, None, fx=factor_x, fy=factor_y, interpolation=cv2.INTER_LINEAR)[:height, :width]
    assert output.shape[:2] == (height, width), (output.shape, window, image.shape, image_origin_xy)
    return cv2.flip(output, 1) if window.flip else np.ascontiguousarray(output)


def _check_size(results: dict, found_hw: tuple[int, int]) -> None:
    declared_hw = results.get("height"), results.get("width")
    if all(declared_hw) and declared_hw != found_hw:
        path = results["img_path"]
        raise InputError(
            f"expected the image as it is annotated, got {path}: {size_fault(path, declared_hw, found_hw)}."
        )


def _reduced_hw(window: Window) -> tuple[int, int]:
    """The size that libjpeg gives a source at the window's reduction."""
    return tuple(-(-side // window.reduction) for side in window.source_hw)
