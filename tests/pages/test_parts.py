"""A part of a page is written in its place; tables of Markdown."""

import pytest

from frozen_det.errors import InputError
from frozen_det.pages.markdown import table
from frozen_det.pages.parts import Part

PART, OTHER = Part("numbers", "frozen-det count --page"), Part("other", "frozen-det other --page")


def test_a_page_that_is_not_there_is_made(tmp_path):
    PART.write(tmp_path / "page.md", "one\n", "Title")
    expected = "# Title\n\n<!-- numbers: made by frozen-det count --page -->\n\none\n\n<!-- end of numbers -->\n"
    assert (tmp_path / "page.md").read_text() == expected


def test_what_stands_around_a_part_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Own\n\nBefore.\n")
    PART.write(page, "one", "Title")
    OTHER.write(page, "two", "Title")
    page.write_text(page.read_text() + "\nAfter.\n")
    PART.write(page, "three\n\nfour", "Title")
    text = page.read_text()
    assert text.startswith("# Own\n\nBefore.\n\n<!-- numbers") and text.endswith("\nAfter.\n")
    assert PART.of(text) == PART.around("three\n\nfour") and OTHER.of(text) == OTHER.around("two")
    assert "one" not in text and PART.of("# Own") == ""


@pytest.mark.parametrize(
    "page, told",
    [
        ("BEGIN\none\n", "the first in line 1 and the second nowhere"),
        ("# Own\n\none\nEND\n", "the first nowhere and the second in line 4"),
        ("BEGIN\none\nEND\n\nBEGIN\n", "the first in line 1 and 5 and the second in line 3"),
        ("BEGIN\none\nEND\nEND\n", "the first in line 1 and the second in line 3 and 4"),
        ("END\none\nBEGIN\n", "the first in line 3 and the second in line 1"),
    ],
)
def test_comments_that_do_not_pair_are_refused_and_the_page_stays(tmp_path, page, told):
    path, text = tmp_path / "page.md", page.replace("BEGIN", PART.begin).replace("END", PART.end)
    path.write_text(text)
    with pytest.raises(InputError, match=f"{told} of .*page.md"):
        PART.write(path, "two", "Title")
    with pytest.raises(InputError, match=f"{told} of the page"):
        PART.of(text)
    assert path.read_text() == text


def test_a_page_that_ends_with_the_part_without_a_line_end_gets_the_new_one(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Own\n\n" + PART.around("one").rstrip())
    PART.write(page, "two", "Title")
    assert page.read_text() == "# Own\n\n" + PART.around("two")


def test_numbers_stand_to_the_right_and_rows_are_filled():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert table(["a", "b", "c"], [["x"]], left=2).splitlines()[1:] == ["| --- | --- | ---: |", "| x |  |  |"]
