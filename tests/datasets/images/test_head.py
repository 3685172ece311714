"""What a file says of its pixels: size, turn, depth, alpha, frames; depths without a range are faults."""

import cv2
import numpy as np
import pytest
from PIL import Image

from frozen_det.datasets.images.head import read_head

RAMP = np.tile(np.linspace(0, 255, 80).astype(np.uint8), (60, 1))
COLOUR = RAMP[..., None].repeat(3, 2)


def _oriented(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("value,orientation", [(1, 1), (3, 3), (6, 6), (8, 8), (0, 1), (9, 1)])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_size_and_turn_are_read(tmp_path, suffix, value, orientation):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(COLOUR).save(path, exif=_oriented(value))
    head = read_head(path)
    assert head.stored_hw == (60, 80) and head.orientation == orientation
    assert head.upright_hw == ((80, 60) if orientation >= 5 else (60, 80)) and head.is_jpeg == (suffix == "jpg")


def test_broken_exif_is_none(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_head(tmp_path / "x.jpg").orientation == 1


@pytest.mark.parametrize(
    "suffix,pixels,fault,is_deep",
    [
        ("png", RAMP.astype(np.uint16) * 257, None, True),
        ("tiff", RAMP.astype(np.uint16) * 257, None, True),
        ("tiff", COLOUR.astype(np.uint16) * 257, None, False),
        ("tiff", RAMP.astype(np.float32), "floating-point", False),
        ("tiff", COLOUR.astype(np.float32) / 255, "floating-point", False),
        ("png", COLOUR, None, False),
        ("hdr", COLOUR.astype(np.float32) / 255, "floating-point", False),
    ],
)
def test_depths_are_distinguished(tmp_path, suffix, pixels, fault, is_deep):
    path = tmp_path / f"x.{suffix}"
    cv2.imwrite(str(path), pixels)
    head = read_head(path)
    assert head.stored_hw == (60, 80) and head.is_deep == is_deep
    assert head.fault is None if fault is None else fault in head.fault


@pytest.mark.parametrize(
    "mode,fault",
    [("1", None), ("L", None), ("P", None), ("CMYK", None), ("I", "32-bit integers"), ("LAB", "Lab colours")],
)
def test_modes_with_one_meaning_pass(tmp_path, mode, fault):
    image = Image.fromarray(RAMP.astype(np.int32)) if mode == "I" else Image.fromarray(COLOUR).convert(mode)
    image.save(tmp_path / "x.tiff")
    found = read_head(tmp_path / "x.tiff").fault
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize("suffix,frames", [("gif", "frames"), ("webp", "frames"), ("png", "frames"), ("tiff", "pages")])
def test_further_frames_are_seen_and_a_phone_s_second_picture_is_none(tmp_path, suffix, frames):
    images = [Image.fromarray(np.roll(COLOUR, 9 * i, 1)) for i in range(3)]
    images[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / f"still.{suffix}")
    images[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=images[1:])
    assert read_head(tmp_path / f"x.{suffix}").frames == frames
    assert read_head(tmp_path / f"still.{suffix}").frames is None and read_head(tmp_path / "phone.jpg").frames is None


def test_alpha_is_seen(tmp_path):
    Image.fromarray(COLOUR).convert("RGBA").save(tmp_path / "a.png")
    Image.fromarray(COLOUR).quantize(9).save(tmp_path / "b.png", transparency=0)
    Image.fromarray(COLOUR).save(tmp_path / "c.png")
    assert [read_head(tmp_path / f"{name}.png").has_alpha for name in "abc"] == [True, True, False]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\nrest"])
def test_what_is_no_image_is_an_os_error(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(OSError):
        read_head(tmp_path / "x.png")
