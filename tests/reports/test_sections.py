"""Sections register where they are defined, and a page shows those that have blocks, by place."""

from pathlib import Path

import pytest

from frozen_det.errors import InputError
from frozen_det.pages.blocks import Text
from frozen_det.reports import sections
from frozen_det.reports.sections import Facts, section, sections_of

FACTS = Facts([], [], "val", Path())


@pytest.fixture
def _no_others(monkeypatch):
    monkeypatch.setattr(sections, "_REGISTERED", {page: [] for page in sections.PAGES})


@pytest.mark.usefixtures("_no_others")
def test_a_page_shows_its_sections_by_place_and_leaves_out_those_without_blocks():
    @section("Last", 30, "run")
    @section("First", 10, "runs")
    def _both(facts):
        return [Text(facts.stage)]

    section("Nothing to say", 20, "run")(lambda facts: [])
    section("Middle", 20, "run")(lambda facts: [Text("middle")])
    assert [one.title for one in sections_of("run", FACTS)] == ["Middle", "Last"]
    assert [one.title for one in sections_of("runs", FACTS)] == ["First"]


def test_a_page_that_is_not_there_is_refused_with_the_closest():
    with pytest.raises(InputError, match="one of run, runs, classifiers, got 'classifier'; did you mean 'classifiers'"):
        section("x", 1, "classifier")


def test_the_pages_have_the_sections_of_this_package():
    from frozen_det.reports import classification, detection  # noqa: F401

    titles = {
        page: [one[1] for one in sorted(sections._REGISTERED[page], key=lambda one: one[0])] for page in sections.PAGES
    }
    assert titles["run"][:3] == ["Results", "Training", "By class"] and titles["run"][-1] == "Not found"
    assert [len(titles[page]) for page in sections.PAGES] == [14, 10, 12]
