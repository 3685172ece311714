"""A part of a page is written in its place; tables of Markdown."""

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


def test_numbers_stand_to_the_right_and_rows_are_filled():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert table(["a", "b", "c"], [["x"]], left=2).splitlines()[1:] == ["| --- | --- | ---: |", "| x |  |  |"]
