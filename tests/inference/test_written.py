"""What is written has a name of its own, whatever the files are called, and goes over none of them."""

import os
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.inference import program
from frozen_det.inference.detections import Detections
from frozen_det.inference.pictures import Picture
from frozen_det.inference.program import ProgramDetector
from frozen_det.inference.written import Written, picture_names

from .test_program import Session

STEMS = st.lists(st.sampled_from(["a", "A", "_2", "_3", "\u00e9", "e\u0301", "\u00df", "."]), min_size=1, max_size=3)
FILES = st.lists(st.tuples(STEMS.map("".join), st.sampled_from([".jpg", ".PNG", ".mp4"])), max_size=12)


def names_of(*files: str) -> list[str]:
    paths = [Path(file) for file in files]
    found = picture_names(paths, [Path("no/such/folder")], True)
    return [found[path] for path in paths]


def as_one(name: str) -> str:
    """What the least discerning file system makes of a name."""
    return normalize("NFD", normalize("NFD", name).casefold())


@given(FILES)
def test_names_are_distinct_and_a_stem_that_is_unique_is_kept(files):
    paths = [Path(str(number), stem + suffix) for number, (stem, suffix) in enumerate(files)]
    names = picture_names(paths, [Path("no/such/folder")], True)
    for kind in ([one for one in paths if (one.suffix == ".mp4") == wanted] for wanted in (False, True)):
        assert len({as_one(names[path]) for path in kind}) == len(kind)
        stems = [as_one(path.stem) for path in kind]
        assert all(names[path] == path.stem for path in kind if stems.count(as_one(path.stem)) == 1)


def test_a_number_gives_no_name_that_another_file_has():
    assert names_of("x/a_3.jpg", "x/a.jpg", "y/a.jpg") == ["a_3", "a", "a_2"]
    assert names_of("x/a.jpg", "y/a.jpg", "z/a_2.jpg", "z/a.jpg") == ["a", "a_3", "a_2", "a_4"]
    assert names_of("x/A.jpg", "y/a.jpg", "z/A_2.png") == ["A", "a_3", "A_2"]
    assert names_of("x/\u00e9.jpg", "y/e\u0301.jpg") == ["\u00e9", "e\u0301_2"]
    assert names_of("x/a.jpg", "y/a.mp4", "Predictions.mp4", "predictions.jpg") == [
        *("a", "a", "Predictions_2", "predictions")
    ]


def test_every_picture_that_is_counted_is_there_with_its_own_pixels(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "load_program", lambda path: ProgramDetector(Session(), path))
    levels = {"x/a_3.jpg": 40, "x/a.jpg": 120, "y/a.jpg": 200}
    for name, level in levels.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (level, level, level)).save(tmp_path / name)
    images = [str(tmp_path / name) for name in levels]
    assert main(["predict", *images, "--checkpoint", "d.onnx", "--score", "1", "-o", str(tmp_path / "out")]) == 0
    assert "3 images" in capsys.readouterr().out
    seen = {one.name: np.asarray(Image.open(one)).mean() for one in (tmp_path / "out").glob("*.jpg")}
    assert seen == pytest.approx({"a_3.jpg": 40, "a.jpg": 120, "a_2.jpg": 200}, abs=1)


def test_what_is_left_out_of_a_folder_is_counted_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "load_program", lambda path: ProgramDetector(Session(), path))
    (tmp_path / "in/d.jpg").mkdir(parents=True)
    (tmp_path / "in/v.mp4").mkdir()
    (tmp_path / "in/broken.jpg").symlink_to("gone.jpg")
    (tmp_path / "in/phone.heic").write_bytes(b"")
    for name in ("a.jpg", "b.gif"):
        Image.new("RGB", (16, 16)).save(tmp_path / "in" / name)
    assert main(["predict", str(tmp_path / "in"), "--checkpoint", "d.onnx", "-o", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    assert "2 images" in told and "; 4 could not be read" in told
    assert all(
        f"left out: {tmp_path / 'in' / name}: " in told for name in ("d.jpg", "v.mp4", "broken.jpg", "phone.heic")
    )


def test_the_panoptic_map_of_a_frame_goes_over_no_image(tmp_path):
    video, image = Path("v.mp4"), Path("v_3.png")
    names = picture_names([video, image], [tmp_path], True)
    pixels = np.zeros((4, 4, 3), np.uint8)
    panoptic = np.zeros((4, 4), int)
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ("a",), None, panoptic, (1,), (4, 4))
    for number, file in ((None, image), (3, video)):
        picture = Picture(None if number else file, pixels, frame=number)
        with Written({"": (tmp_path, ("a",), (1,))}, names, None, video if number else None, 5.0) as written:
            written.add("", picture, Detections(*nothing, picture))
    assert {one.name for one in tmp_path.glob("*.png")} == {"v_3_panoptic.png", "v_3_frame_panoptic.png"}


@pytest.mark.parametrize(
    ("file", "target"),
    [("a.jpg", "a.jpg"), ("a.png", "a_panoptic.png"), ("predictions.json", "predictions.json"), ("v.mp4", "v.jsonl")],
)
def test_nothing_is_written_over_a_file_that_was_given_under_whatever_name(tmp_path, file, target):
    given_file, other = tmp_path / file, tmp_path / "other"
    given_file.write_bytes(b"")
    (tmp_path / "out").mkdir()
    other.write_bytes(b"")
    os.link(other, tmp_path / "out" / target)  # stands for A.jpg and a.jpg where these are one
    with pytest.raises(InputError, match=f"would be written over .*{target}, which is one of the"):
        picture_names([given_file, other], [tmp_path / "out"], True)
