"""Pixels as networks get them: 8-bit RGB, turned as EXIF says, 16 bits scaled to 8, transparency left out.

One way for everything that opens an image: detectors, by the transform that loads their images, and what draws on what
they saw; classifiers, by Pillow. Refused: depths without a range, loaders that do not give three channels.
"""

import importlib.util

import cv2
import numpy as np
from PIL import Image, ImageOps

from ...errors import InputError
from .head import depth_fault, is_deep, orientation_of

_COLOR_TYPES = ("color", "color_ignore_orientation")
_LOADERS = ("LoadImageFromFile", "LargeScaleJitter")
_BACKENDS = ("cv2", "pillow", "turbojpeg", None)


def upright_rgb(image: Image.Image, turned: bool = True) -> Image.Image:
    """An opened image as 8-bit RGB, turned as its EXIF data say unless they are to be ignored.

    Raises:
        ValueError: its depth has no range that says what is black and white.
    """
    fault = depth_fault(image.mode, image.format)
    if fault is not None:
        raise ValueError(fault)
    deep = is_deep(image.mode, image.format)
    if turned and orientation_of(image) > 1:
        image = ImageOps.exif_transpose(image)
    if deep:  # Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


class PixelReader:
    """Decodes image files as a pipeline's first transform does.

    Args:
        color_type, imdecode_backend, backend_args: As in mmcv's LoadImageFromFile.
    """

    def __init__(
        self, color_type: str = "color", imdecode_backend: str | None = "cv2", backend_args: dict | None = None
    ) -> None:
        if color_type not in _COLOR_TYPES:
            raise InputError(
                f"expected color_type as one of {', '.join(_COLOR_TYPES)} where images are loaded, got "
                f"{color_type!r}: networks here take RGB only. Grey images become RGB by themselves; "
                "write images of other channels as RGB files."
            )
        if imdecode_backend not in _BACKENDS:
            raise InputError(
                f"expected imdecode_backend as cv2, pillow or turbojpeg, got {imdecode_backend!r}, which "
                "does not give 8-bit RGB."
            )
        if imdecode_backend == "turbojpeg" and importlib.util.find_spec("turbojpeg") is None:
            raise InputError(
                "expected the package of imdecode_backend='turbojpeg', got none installed; `pip install "
                "PyTurboJPEG`, or take imdecode_backend='cv2'."
            )
        self.color_type, self.imdecode_backend, self.backend_args = color_type, imdecode_backend, backend_args

    @classmethod
    def of(cls, transforms, backend_args: dict | None = None) -> "PixelReader":
        """That of the first transform which loads images, objects or configs; mmcv's defaults where there is none.

        Args:
            backend_args: where the transform has none.
        """
        for transform in transforms:
            settings = transform if isinstance(transform, dict) else vars(getattr(transform, "pixels", transform))
            name = str(settings.get("type", "")).split(".")[-1]
            if "color_type" in settings or hasattr(transform, "pixels") or name in _LOADERS:
                return cls(
                    **{key: settings[key] for key in ("color_type", "imdecode_backend") if key in settings},
                    backend_args=settings.get("backend_args") or backend_args,
                )
        return cls(backend_args=backend_args)

    @property
    def turns(self) -> bool:
        """Whether EXIF's turns are made."""
        return self.color_type == "color" and self.imdecode_backend != "turbojpeg"

    def bgr(self, path) -> np.ndarray:
        """(H, W, 3) uint8, blue first.

        Raises:
            InputError: a file that cannot be decoded.
        """
        try:
            image = self._decoded(str(path))
        except Exception as error:  # each decoder has its own
            raise InputError(f"expected an image that can be decoded, got {path}: {error}.") from error
        if image is None:
            raise InputError(f"expected an image that can be decoded, got {path}, which cannot; replace the file.")
        return image

    def _decoded(self, path: str) -> np.ndarray | None:
        if self.imdecode_backend == "cv2" and self.backend_args is None and "://" not in path:  # without the host
            flag = cv2.IMREAD_COLOR | (0 if self.turns else cv2.IMREAD_IGNORE_ORIENTATION)
            with open(path, "rb") as file:
                return cv2.imdecode(np.frombuffer(file.read(), np.uint8), flag)
        import mmcv
        from mmengine.fileio import get

        content = get(path, backend_args=self.backend_args)
        return mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)

    def rgb(self, path) -> np.ndarray:
        """(H, W, 3) uint8, contiguous."""
        return cv2.cvtColor(self.bgr(path), cv2.COLOR_BGR2RGB)
