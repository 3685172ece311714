"""A dumped config is read without being run, and compared key by key."""

from frozen_det.engine.runner.stored_settings import differences, settings_of_text


def test_literals_and_dicts_are_read_and_nothing_is_run(tmp_path):
    text = (
        f"a = dict(b=[1, (2.5, None)], c={{'x-y': True}})\n"
        f"evil = __import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()\nopen('f', 'w')\nd = -1e-3\n"
    )
    assert settings_of_text(text)["a"] == {"b": [1, [2.5, None]], "c": {"x-y": True}}
    assert settings_of_text(text)["d"] == -0.001
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_no_python_is_none():
    assert settings_of_text("a = <class 'x'>") is None


def test_differences_name_the_key_and_leave_out_what_is_no_literal():
    before = settings_of_text("a = dict(b=1, c=[dict(d=2), dict(e=3)], f=g.h, i=(1, 2))")
    now = {"a": {"b": 1.0, "c": [{"d": 2}, {"e": 4}], "f": print, "i": [1, 2], "new": "x"}}
    assert list(differences(before, now)) == [("a.c.1.e", 3, 4), ("a.new", None, "x")]


def test_lists_of_other_lengths_are_one_difference():
    assert list(differences([1], [1, 2], "k")) == [("k", [1], [1, 2])]
