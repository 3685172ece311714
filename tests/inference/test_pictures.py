"""Images in any form become the same pixels, in the order in which they were given."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frozen_det.datasets.images.pixels import PixelReader
from frozen_det.errors import InputError
from frozen_det.inference.pictures import OTHER_SUFFIXES, Picture, image_files, pictures_of


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, pixels):
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "a.PNG", "deep/c.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def seen(images, color="bgr"):
    return [one.rgb() for one in pictures_of(images, PixelReader(), color)]


def test_every_form_of_an_image_gives_the_same_pixels(folder, pixels):
    path, bgr = folder / "b.png", pixels[..., ::-1]
    given = [path, str(path), Image.open(path), bgr]
    for one in (*given, folder / "b.p*g"):
        assert [np.array_equal(shown, pixels) for shown in seen(one)] == [True]
    assert all(np.array_equal(shown, pixels) for shown in (*seen(given), *seen(pixels, "rgb"), *seen(np.stack([bgr]))))


def test_a_pillow_image_is_turned_as_its_file_is(tmp_path, pixels):
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = Image.open(tmp_path / "turned.png")
    assert np.array_equal(*seen([tmp_path / "turned.png", image])) and seen(image)[0].shape == (8, 6, 3)
    (as_stored,) = pictures_of(image, PixelReader("color_ignore_orientation"))
    assert np.array_equal(as_stored.rgb(), pixels)


def test_folders_and_patterns_give_their_images_by_name(folder):
    names = lambda *given: [one.relative_to(folder).as_posix() for one in image_files(given)]  # noqa: E731
    assert names(folder) == ["a.PNG", "b.png"]
    assert names(f"{folder}/**/*.png") == ["b.png", "deep/c.png"]
    assert names(f"{folder}/deep/*", folder, folder / "b.png") == ["deep/c.png", "a.PNG", "b.png"]
    (folder / "d[1].png").write_bytes((folder / "b.png").read_bytes())
    assert names(folder / "d[1].png") == ["d[1].png"]


def test_what_is_called_like_an_image_is_in_the_list_and_refused_by_name(folder):
    (folder / "broken.jpg").symlink_to("gone.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "d.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    names = ["a.PNG", "b.png", "broken.jpg", "d.jpg", "loop.jpg", "pipe.jpg"]
    for given in (folder, f"{folder}/*"):
        assert [one.name for one in image_files([given])] == names
    reasons = {
        "broken.jpg": "is a link to gone.jpg, where no file is",
        "d.jpg": "is a folder",
        "loop.jpg": "is a link to loop.jpg",
        "pipe.jpg": "is no file, but a pipe or a device",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=f"expected an image file, but .*{name} {reason}"):
            Picture(folder / name).loaded()
    (folder / "d[1].png").symlink_to("gone.jpg")
    with pytest.raises(InputError, match=r"d\[1\].png is a link to gone.jpg"):
        image_files([folder / "d[1].png"])


@pytest.mark.parametrize("suffix", OTHER_SUFFIXES)
def test_images_in_a_folder_are_those_that_can_be_named(suffix, tmp_path, pixels):
    path = tmp_path / f"a{suffix}"
    try:
        Image.fromarray(pixels).save(path)
    except (ValueError, OSError):  # this Pillow cannot write it
        path.write_bytes(b"")
    assert image_files([tmp_path]) == image_files([path]) == [path]
    if path.stat().st_size:
        assert PixelReader().rgb(path).shape == pixels.shape


def test_a_folder_that_cannot_be_listed_is_refused_in_one_line(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(InputError, match="cannot be listed: Permission denied"):
        image_files([tmp_path])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a" * 300 + ".jpg", "a.jpg does not exist"),
        ("a\0.jpg", "does not exist"),
        ("", "expected images in the folder"),
        ("gone.jpg", "gone.jpg does not exist"),
        ("gone/*.jpg", r"that the pattern matches gone/\*.jpg, got none"),
        (None, "got builtins.NoneType"),
        ({"a.jpg": 1}, "got builtins.dict"),
        (b"a.jpg", "got builtins.bytes"),
        ([None], "got builtins.NoneType as image 0"),
        (np.zeros((4, 4), np.uint8), r"blue first, got \(4, 4\) of uint8 as image 0"),
        ([np.zeros((4, 4, 3))], r"got \(4, 4, 3\) of float64 as image 0"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\) of uint8"),
        (Image.new("F", (4, 4)), "expected a Pillow image of 8 bits"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        seen(given)
    assert "\n" not in str(raised.value)


def test_another_colour_order_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected color to be one of bgr, rgb, got 'RGB'"):
        seen([], "RGB")
    with pytest.raises(InputError, match="expected images in the folder .*, got none"):
        seen(tmp_path)
