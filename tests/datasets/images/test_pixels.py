"""Files become 8-bit RGB in one way: turned as EXIF says, 16 bits scaled, read as the pipeline reads them."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from frozen_det.datasets.images.pixels import PixelReader, upright_rgb
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.errors import InputError

from .test_head import COLOUR, RAMP, _oriented

CORNERED = COLOUR.copy()
CORNERED[:20, :20] = (255, 0, 0)


@pytest.mark.parametrize(
    "orientation,turned",
    [
        (1, CORNERED),
        (2, CORNERED[:, ::-1]),
        (3, CORNERED[::-1, ::-1]),
        (4, CORNERED[::-1]),
        (5, CORNERED.transpose(1, 0, 2)),
        (6, np.rot90(CORNERED, 3)),
        (8, np.rot90(CORNERED)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pictures_are_turned_upright(tmp_path, suffix, orientation, turned):
    Image.fromarray(CORNERED).save(tmp_path / f"x.{suffix}", exif=_oriented(orientation), lossless=True)
    with Image.open(tmp_path / f"x.{suffix}") as image:
        np.testing.assert_array_equal(np.asarray(upright_rgb(image)), turned)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_classifiers_and_detectors_turn_a_jpeg_alike(tmp_path, orientation):
    Image.fromarray(CORNERED).save(tmp_path / "x.jpg", exif=_oriented(orientation), quality=100, subsampling=0)
    with Image.open(tmp_path / "x.jpg") as image:
        by_pillow = np.asarray(upright_rgb(image)).astype(int)
    assert np.abs(by_pillow - PixelReader().rgb(tmp_path / "x.jpg")).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"x.{suffix}"), RAMP.astype(np.uint16) * 256 + 255)
    with Image.open(tmp_path / f"x.{suffix}") as image:
        np.testing.assert_array_equal(np.asarray(upright_rgb(image)), COLOUR)
    np.testing.assert_array_equal(PixelReader().rgb(tmp_path / f"x.{suffix}"), COLOUR)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK"])
def test_other_modes_become_rgb_as_pillow_does(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    np.testing.assert_array_equal(np.asarray(upright_rgb(image)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("pixels", [RAMP.astype(np.float32), RAMP.astype(np.int32)])
def test_a_depth_without_a_range_is_refused(pixels):
    with pytest.raises(ValueError, match="without a range that says what is black and white"):
        upright_rgb(Image.fromarray(pixels))


def test_a_reader_opens_files_as_the_pipeline_does(tmp_path):
    Image.fromarray(CORNERED).save(tmp_path / "x.jpg", exif=_oriented(6))
    shape = {}
    by_pillow = dict(type="mmdet.LoadImageFromFile", imdecode_backend="pillow")
    for name, transforms in (
        ("none", []),
        ("config", [by_pillow]),
        ("jitter", [LargeScaleJitter(64)]),
        ("stored", [LoadImageFromFile(color_type="color_ignore_orientation")]),
    ):
        shape[name] = PixelReader.of(transforms).rgb(tmp_path / "x.jpg").shape
        if name in ("config", "stored"):
            loader = LoadImageFromFile(**{k: v for k, v in vars(PixelReader.of(transforms)).items() if k != "type"})
            loaded = loader.transform(dict(img_path=str(tmp_path / "x.jpg")))["img"]
            np.testing.assert_array_equal(PixelReader.of(transforms).bgr(tmp_path / "x.jpg"), loaded)
    assert shape == {"none": (80, 60, 3), "config": (80, 60, 3), "jitter": (80, 60, 3), "stored": (60, 80, 3)}


@pytest.mark.parametrize(
    "settings", [dict(color_type="grayscale"), dict(color_type="unchanged"), dict(imdecode_backend="tifffile")]
)
def test_loaders_that_do_not_give_rgb_are_refused(settings):
    with pytest.raises(InputError, match="RGB"):
        PixelReader.of([dict(type="LoadImageFromFile", **settings)])


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_a_file_that_cannot_be_decoded_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.jpg"):
        PixelReader().rgb(tmp_path / "x.jpg")
