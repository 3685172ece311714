"""Names of classes are drawn in any script that a font of the machine has; where none has it, that is said once."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from frozen_det.datasets.visualization import fonts
from frozen_det.datasets.visualization.detections import DrawnObjects, draw_objects


def drawn(name: str) -> np.ndarray:
    objects = DrawnObjects(np.array([[40.0, 60, 200, 200]]), np.array([0]))
    return draw_objects(np.zeros((400, 400, 3), np.uint8), objects, [name])


@pytest.mark.parametrize("name", ["Straße", "кошка", "γάτα", "قطة", "חתול"])
def test_the_scripts_of_dejavu_are_drawn_with_it(name):
    assert fonts.font_for(name, 15).path.endswith("DejaVuSans.ttf")


def test_a_font_of_the_machine_is_taken_for_letters_that_dejavu_lacks(monkeypatch, tmp_path):
    other = tmp_path / "Other-Regular.ttf"
    own = fonts.plain_font(15).path
    shutil.copy(own, other)
    letters = {own: {ord("a")}, str(other): {ord("a"), ord("猫")}}
    for cached in (fonts._files, fonts._letters_of, fonts._file_with, fonts._loaded):
        cached.cache_clear()
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: [str(other)])
    monkeypatch.setattr(
        "matplotlib.ft2font.FT2Font", lambda path: SimpleNamespace(get_charmap=lambda: letters[str(path)])
    )
    try:
        assert fonts.font_for("a", 15).path == own
        assert fonts.font_for("a猫", 15).path == str(other)
    finally:
        for cached in (fonts._files, fonts._letters_of, fonts._file_with, fonts._loaded):
            cached.cache_clear()


def test_letters_that_no_font_has_are_said_once_and_the_number_stands_there():
    unwritten = "\U0001fbff\U000e0fff"  # assigned to nothing that a font draws
    fonts.tell_of_missing_font.cache_clear()
    with pytest.warns(UserWarning, match="pictures show the number of the class") as said:
        first = drawn(unwritten)
        drawn(unwritten)
    assert len(said) == 1
    assert np.array_equal(first, drawn("class 0"))
