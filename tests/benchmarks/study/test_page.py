"""The study's page: parts that are there and parts that are not yet; what is committed is what the records give."""

import json
import re
from pathlib import Path

import pytest

from frozen_det.benchmarks.study.page import PART, SUMMARY, Content, section, summary, write_page
from frozen_det.benchmarks.study.plan import MAIN, TABLES
from frozen_det.benchmarks.study.sets import SETS

from .made import RATES, record, with_main

ROOT = Path(__file__).resolve().parents[3]
RECORDS = ROOT / "docs" / "study" / "runs.jsonl"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Five sets of Lite0: each arm 0.01 above the one before."""
    path = tmp_path_factory.mktemp("records") / "runs.jsonl"
    found = with_main(tuple(SETS)[:5], lambda run: 0.3 + 0.01 * MAIN.index(run.arm))
    path.write_text("".join(json.dumps(one) + "\n" for one in found))
    return path


def test_the_page_is_made_from_what_there_is(records, tmp_path):
    write_page(records, tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert "158 runs, 1.6 hours" in sections["What was run"] and "| main | 120 | 168 |" in sections["What was run"]
    assert "18 of the runs are in two tables, 0 in none." in sections["What was run"]
    lite0 = sections["All arms on all sets: Lite0"]
    assert "over the 5 of 7 sets" in lite0 and "| parallel adapters | 31.0 | 7.0 | **+1.0 (+1.0 to +1.0)** |" in lite0
    for title in ("All arms on all sets: Lite2", "Fewer training images", "A DETR", "Norms that train"):
        assert "Not complete yet." in sections[title]
    pictures = re.findall(r"\]\((pictures/\w+\.svg)\)", text)
    assert pictures == ["pictures/study_ranks_lite0.svg", "pictures/study_differences_lite0.svg"]
    assert all((tmp_path / one).read_text().startswith("<svg") for one in pictures)
    assert "Mean ranks over 5 sets" in text and "\n\n\n" not in text


def test_a_table_that_varies_one_thing_has_a_picture(records, tmp_path):
    shares = [record(run, 0.2) for run in TABLES["fractions"](RATES) if run.set == "bccd"]
    path = tmp_path / "runs.jsonl"
    path.write_text(records.read_text() + "".join(json.dumps(one) + "\n" for one in shares))
    part = section(Content(path), tmp_path / "pictures").split("\n## Fewer training images\n")[1].split("\n## ")[0]
    assert "(pictures/study_fractions.svg)" in part and "| 10% | frozen | **20.0" in part
    svg = (tmp_path / "pictures" / "study_fractions.svg").read_text()
    assert svg.startswith("<svg") and all(f"bccd, {one}%" in svg for one in (10, 30, 100))


def test_before_any_run_the_page_says_so(tmp_path):
    text = section(Content(tmp_path / "runs.jsonl"), tmp_path / "pictures")
    assert "0 runs, 0.0 hours" in text and "| main | 0 | 168 |" in text
    assert text.count("Not complete yet.") == 10 and not (tmp_path / "pictures").exists()


def test_a_page_with_the_comments_of_the_summary_gets_that(records, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# Project\n\n{SUMMARY.begin}\n{SUMMARY.end}\n\n## Next\n")
    write_page(records, page)
    text = page.read_text()
    assert text.startswith("# Project\n\n<!-- study's summary") and text.endswith("\n\n## Next\n")
    assert SUMMARY.of(text) == SUMMARY.around(summary(Content(records))) and PART.of(text) == ""
    assert "Lite0, mean over 5 of 7 sets:" in text and "Lite2" not in text
    assert summary(Content(tmp_path / "none.jsonl")) == "Not complete yet."


@pytest.mark.skipif(not RECORDS.is_file(), reason="an installed package has no records")
def test_what_is_committed_is_what_the_records_give(tmp_path):
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    again = "run: frozen-det benchmark study --page docs/study.md"
    assert PART.of(page) == PART.around(section(Content(RECORDS), tmp_path / "pictures")), again
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert SUMMARY.of(readme) == SUMMARY.around(summary(Content(RECORDS))), "run: ... --page README.md"
    for name in re.findall(r"\(pictures/(study_\w+\.svg)\)", page):
        assert (ROOT / "docs" / "pictures" / name).is_file(), again
