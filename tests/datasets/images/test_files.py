"""Truncated, broken and missing image files are found; whole ones are not suspected."""

import cv2
import numpy as np
import pytest
from PIL import Image

from frozen_det.datasets.images.files import ends_early, image_fault, image_size_hw, missing_files


@pytest.fixture
def image_file(tmp_path):
    def write(suffix, name="image"):
        path = tmp_path / f"{name}{suffix}"
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
        return path

    return write


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_whole_files_have_no_fault(image_file, suffix):
    path = image_file(suffix)
    assert image_fault(path) is None and not ends_early(path) and image_size_hw(path) == (60, 80)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_file_is_found(image_file, suffix):
    path = image_file(suffix)
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
    assert ends_early(path) and "truncated" in image_fault(path)


def test_what_opencv_cannot_decode_has_a_fault_even_if_pillow_can(image_file, monkeypatch):
    path = image_file(".jpg")
    monkeypatch.setattr("cv2.imdecode", lambda *_: None)
    assert "OpenCV cannot decode it" in image_fault(path)


def test_a_jpeg_with_bytes_after_its_end_is_whole(image_file):
    path = image_file(".jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 10)
    assert ends_early(path) and image_fault(path) is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"not an image at all"])
def test_what_is_no_image_has_a_fault(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    assert image_fault(tmp_path / "x.jpg")


def test_a_missing_file_has_a_fault_but_does_not_end_early(tmp_path):
    assert image_fault(tmp_path / "x.jpg") == "there is no such file" and not ends_early(tmp_path / "x.jpg")


@pytest.mark.parametrize("orientation,size_hw", [(1, (60, 80)), (3, (60, 80)), (6, (80, 60)), (8, (80, 60))])
def test_a_file_on_its_side_has_the_size_that_it_is_decoded_to(tmp_path, orientation, size_hw):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (80, 60)).save(tmp_path / "x.jpg", exif=exif)
    assert image_size_hw(tmp_path / "x.jpg") == size_hw == cv2.imread(str(tmp_path / "x.jpg")).shape[:2]


def test_missing_files_are_named_in_present_and_absent_folders(image_file, tmp_path):
    here, gone, nowhere = str(image_file(".jpg")), str(tmp_path / "b.jpg"), str(tmp_path / "no/c.jpg")
    assert missing_files([here, gone, nowhere]) == {gone, nowhere} and missing_files([]) == set()
