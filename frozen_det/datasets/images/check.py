"""The images of a data set against its annotations: the decoded size is the declared one, and pixels mean something.

Each file's head is read once in a process, when the file is first used; a seeded sample of them already when the
data set is made, so that most faults come before the first step. What is odd but may be meant is named once: turns that
a size cannot confirm, transparency, further frames, pictures that are nearly black.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from mmengine.logging import print_log

from ...errors import InputError
from .files import ends_early, image_fault
from .head import ImageHead, decoded, read_head
from .pixels import PixelReader

_NUM_SAMPLED = 32
_SAMPLE_BYTES = 16 * 2**20  # decoded for their brightness: a fraction of a second
_NEARLY_BLACK = 24
_OF_NO_SIZE = ("LoadImageFromFile", "LoadAnnotations", "RandomFlip")  # transforms that leave the size as it is
_TURNED = "turned or mirrored by EXIF; boxes are taken to be those of the picture as it is shown"
_TURNED_BY_SOME = (
    "turned or mirrored by EXIF in a format that some decoders leave as it is stored (WebP); "
    "save them upright, without the tag"
)
_TRANSPARENT = "with transparent pixels; the colours stored under them are used"
_BLACK = (
    f"nearly black, no value above {_NEARLY_BLACK} of 255; where files hold 12 bits in 16, or masks in place of "
    "pictures, write them with the full range"
)


class ImageCheck:
    """Looks at the image files of a data set, each once.

    Args:
        reader: how they are decoded.
        source: the annotation file, for messages.
        fit_wh: what :func:`smallest_fit` says of the pipeline.
    """

    def __init__(self, reader: PixelReader, source: str, fit_wh: tuple[float, float] | None = None) -> None:
        self.reader, self.source, self.fit_wh = reader, source, fit_wh
        self.seen: set[str] = set()
        self._named: set[str] = set()

    def fault(self, path: str, declared_hw: tuple[int, int]) -> str | None:
        """What keeps a file from being used as it is annotated, as text; None (and it is among :attr:`seen`) if
        nothing does.

        Args:
            path: of a local file. One that cannot be opened is left to the decoder.
            declared_hw: height and width in px that the annotations are in.
        """
        try:
            head = read_head(path)
        except OSError:
            return None
        fault = _fault(path, head, declared_hw, self.reader)
        if fault is None:
            self.seen.add(path)
            for remark in _remarks(head, self.reader):
                self._name(remark, f"{path} is")
        return fault

    def look(self, images: Sequence[tuple[str, tuple[int, int]]]) -> tuple[str, str] | None:
        """Look at a seeded sample of the files and the sizes of all; name what is odd, with counts.

        Args:
            images: (path, declared height and width) of all images.

        Returns:
            path and fault of the first that cannot be used, or None.
        """
        chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:_NUM_SAMPLED])
        remarks, num_bytes, found = Counter(), 0, None
        for path, declared_hw in (images[i] for i in chosen):
            try:
                head = read_head(path)
                num_bytes += os.path.getsize(path)
                fault = _fault(path, head, declared_hw, self.reader)
                if fault is None and ends_early(path):
                    fault = image_fault(path)
            except OSError as error:
                fault = str(error)
            if fault is not None:
                found = found or (path, fault)
                continue
            remarks.update(_remarks(head, self.reader))
            if num_bytes <= _SAMPLE_BYTES:
                remarks.update(_remarks_on_pixels(path, head))
        for remark, count in remarks.items():
            self._name(remark, f"{count} of {len(chosen)} images looked at are")
        thin = ((path, fault) for path, size in images if (fault := squeezed_fault(size, self.fit_wh)) is not None)
        return found or next(thin, None)

    def _name(self, remark: str, subject: str) -> None:
        if remark not in self._named:
            self._named.add(remark)
            print_log(f"{self.source}: {subject} {remark}.", "current", logging.WARNING)


def size_fault(path, declared_hw: tuple[int, int], found_hw: tuple[int, int]) -> str:
    """That an image is not of the size in which it is annotated, with EXIF's part in it."""
    try:
        head = read_head(path)
    except OSError:  # not a local file
        head = ImageHead(tuple(found_hw))
    found = f"{_wh(found_hw)} px where the annotations are for {_wh(declared_hw)} px (width x height)"
    if head.orientation >= 5 and tuple(declared_hw) == head.stored_hw:
        return (
            f"{found}: it is stored as {_wh(head.stored_hw)} and turned by its EXIF data (orientation "
            f"{head.orientation}). Annotate the turned picture, or save the file without the tag, or load without "
            "turns (color_type='color_ignore_orientation' in LoadImageFromFile of all pipelines)"
        )
    turned = " (width and height are swapped)" if tuple(declared_hw) == tuple(found_hw)[::-1] else ""
    return f"{found}{turned}"


def decoded_size_fault(sample, data_info: dict) -> str | None:
    """The size fault of an image, where the packed sample states what it was decoded to: of a file elsewhere, or of one
    whose EXIF data the decoder reads in another way than :func:`.head.read_head`."""
    packed = sample.get("data_samples") if isinstance(sample, dict) else None
    found_hw, declared_hw = getattr(packed, "ori_shape", None), (data_info["height"], data_info["width"])
    if found_hw is None or tuple(found_hw[:2]) == declared_hw:
        return None
    return size_fault(data_info["img_path"], declared_hw, tuple(found_hw[:2]))


def smallest_fit(transforms: Iterable) -> tuple[float, float] | None:
    """The smallest (width, height) that a pipeline's first resize fits images into with their ratio kept; None where
    there is none, or a transform before it changes their size."""
    for step in transforms:
        name, keeps = type(step).__name__, getattr(step, "keep_ratio", False)
        scales = [getattr(step, "scale", None)]
        if name in ("RandomResize", "RandomChoiceResize"):
            keeps, scales = step.resize_cfg.get("keep_ratio", False), getattr(step, "scales", scales)
            least = (getattr(step, "ratio_range", None) or (1.0, 1.0))[0]
            if isinstance(scales[0], list):  # the ends of a range
                scales, least = scales[0], 1.0
            scales = [tuple(int(least * side) for side in scale) for scale in scales if isinstance(scale, tuple)]
        elif name in _OF_NO_SIZE:
            continue
        elif name != "Resize":
            return None
        scales = [scale for scale in scales if isinstance(scale, tuple) and len(scale) == 2]
        return min(scales, key=sorted) if keeps and scales else None
    return None


def squeezed_fault(size_hw: tuple[int, int], fit_wh: tuple[float, float] | None) -> str | None:
    """That an image is so thin that, fitted into ``fit_wh``, nothing is left of its shorter side."""
    if fit_wh is None:
        return None
    short, long = sorted(size_hw)
    if int(short * min(max(fit_wh) / long, min(fit_wh) / short) + 0.5) > 0:
        return None
    return (
        f"{_wh(size_hw)} px (width x height), whose shorter side is rounded to 0 where the pipeline resizes the image "
        f"to fit into {fit_wh[0]:g} x {fit_wh[1]:g}; cut it into parts, or take a larger size"
    )


def failure_fault(error: Exception, data_info: dict) -> str | None:
    """What in a local image file made a pipeline fail, as text; None where the file is not to blame."""
    fault = image_fault(data_info["img_path"])
    if fault is None and isinstance(error, cv2.error) and getattr(error, "func", None) == "resize":
        size = _wh((data_info["height"], data_info["width"]))
        return (
            f"{size} px (width x height), which a transform of the pipeline resizes to a side of 0; cut it into parts"
        )
    return fault


def check_listed_once(data_list: list[dict], ann_file: str) -> None:
    """Refuse a file under two entries: the objects of each would be background of the other."""
    paths = [os.path.normpath(info["img_path"]) for info in data_list]
    if len(set(paths)) < len(paths):
        double, times = Counter(paths).most_common(1)[0]
        ids = [info["img_id"] for info, path in zip(data_list, paths) if path == double][:4]
        raise InputError(
            f"{ann_file}: expected each image file once in 'images', got {double} {times} times (ids "
            f"{', '.join(map(repr, ids))}); put all its annotations under one id."
        )


def _fault(path: str, head: ImageHead, declared_hw: tuple[int, int], reader: PixelReader) -> str | None:
    if head.fault is not None:
        return head.fault
    if head.is_deep and reader.imdecode_backend == "pillow":
        return "it has 16 bits a channel, which Pillow clips to 8; take imdecode_backend='cv2' in LoadImageFromFile"
    expected_hw = head.upright_hw if reader.turns else head.stored_hw
    if expected_hw == tuple(declared_hw) and (head.is_jpeg or head.orientation < 5):
        return None
    # What decoders make of EXIF differs between formats: what is decoded counts.
    try:
        found_hw = reader.bgr(path).shape[:2]
    except ValueError:
        return None  # the decoder's own error comes with the sample
    return None if found_hw == tuple(declared_hw) else size_fault(path, declared_hw, found_hw)


def _remarks(head: ImageHead, reader: PixelReader) -> list[str]:
    same_size = head.upright_hw == head.stored_hw
    turned = reader.turns and head.orientation > 1 and same_size
    remarks = [_TURNED if head.is_jpeg else _TURNED_BY_SOME] if turned else []
    return remarks + ([f"of several {head.frames}; the first is used"] if head.frames else [])


def _remarks_on_pixels(path: str, head: ImageHead) -> list[str]:
    remarks = []
    if head.has_alpha:
        pixels = decoded(path, cv2.IMREAD_UNCHANGED)
        if (
            pixels is not None
            and pixels.ndim == 3
            and pixels.shape[2] == 4
            and pixels[..., 3].min() < np.iinfo(pixels.dtype).max
        ):
            remarks.append(_TRANSPARENT)
    pixels = decoded(path, cv2.IMREAD_REDUCED_COLOR_2)
    if pixels is not None and pixels.max() <= _NEARLY_BLACK:
        remarks.append(_BLACK)
    return remarks


def _wh(size_hw) -> str:
    return f"{size_hw[1]} x {size_hw[0]}"
