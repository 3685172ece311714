"""The advisor's part of the page: written in its place, and what is committed is what the records give."""

import argparse
import json
from pathlib import Path

import pytest

from frozen_det.advisor.expected import loaded
from frozen_det.advisor.study import command
from frozen_det.advisor.study.grid import Grid, grid_of, read_grid
from frozen_det.advisor.study.page import PART, TABLE, section, table_text, write_page
from frozen_det.benchmarks.study.plan import MAIN
from frozen_det.errors import InputError

from .made import runs, score_record

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "docs" / "study" / "runs.jsonl", ROOT / "docs" / "study" / "scores.jsonl"


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def whole() -> Grid:
    """Gains of 0.02 a way, 0.05 of the larger backbone, 0.1 a set."""
    sets = ["kangaroo", "capybara", "microcontrollers", "bccd"]
    table = {
        (one, body, way): 0.2 + 0.1 * row + 0.02 * place + 0.05 * (body == "Lite2")
        for row, one in enumerate(sets)
        for body in ("Lite0", "Lite2")
        for place, way in enumerate(MAIN)
    }
    scores = [
        score_record(one, body, 0.1 + 0.1 * row + 0.02 * (body == "Lite2"), LogME=0.1 * row + 0.2 * (body == "Lite2"))
        for row, one in enumerate(sets)
        for body in ("Lite0", "Lite2")
    ]
    return grid_of(runs(table), scores)


def test_the_part_says_what_follows_from_the_records():
    text = section(whole())
    assert "Scores and probes: 8 of 28, on 4 sets" in text and "8 pairs of set and backbone, 44 cells" in text
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    last = MAIN[-1]
    assert f"| kangaroo | 1.00 | Lite2 {last} |" in text and f"It chooses one way on every set ({last}):" in text
    # The largest frozen is 7 steps of 0.02 below the best of each set, the smallest 0.05 more.
    assert rows["largest top-1, frozen"].count("| 14.0 ") == 5 and rows["smallest, frozen"].count("| 19.0 ") == 5
    assert rows["the advisor"].count("| 0.0 ") == 5
    assert rows["LogME"] == "| LogME | 1.00 | 4 of 4 | 4 |"
    assert "10.0 ± 1.0 | 40 / 20 | 2 / 12 |" in text


def test_before_enough_is_measured_the_part_says_so():
    text = section(Grid(scores={("bccd", "Lite0"): score_record("bccd", "Lite0", 0.25)}))
    assert "nothing can be foretold from it yet" in text and "| bccd | Lite0 | - | - | - | - | 25.0 ± 1.0 |" in text
    assert "None yet." in section(Grid())


def test_the_part_is_written_in_its_place_and_again(tmp_path):
    path, table = tmp_path / "study.md", tmp_path / "table.json"
    write_page(Grid(), path, table)
    path.write_text(path.read_text().replace(PART.end, f"{PART.end}\n\n## After"))
    write_page(whole(), path, table)
    text = path.read_text()
    assert text.count(PART.begin) == text.count(PART.end) == 1 and text.endswith("## After\n")
    assert PART.of(text) == PART.around(section(whole()))
    assert loaded(json.loads(table.read_text())).sets == ["bccd", "kangaroo", "capybara", "microcontrollers"]


def test_what_is_missing_is_scored_and_nothing_twice(tmp_path, monkeypatch, capsys):
    from frozen_det.advisor.study import records

    made = []

    def scored(one, backbone, data, work):
        made.append((one, backbone))
        return score_record(one, backbone, 0.1)

    monkeypatch.setattr(records, "scored", scored)
    monkeypatch.setattr(records, "all_keys", lambda: [("bccd", "Lite0"), ("kangaroo", "Lite2")])
    files = ["--records", tmp_path / "runs.jsonl", "--scores", tmp_path / "scores.jsonl", "--work-dir", tmp_path]
    for words in (["--data", tmp_path], ["--data", tmp_path], []):
        if not words:
            (tmp_path / "runs.jsonl").touch()
        assert command.run(arguments(*words, *files)) == 0
    assert made == [("bccd", "Lite0"), ("kangaroo", "Lite2")]
    assert "Scores and probes: 2 of 28" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--page", "page.md"], ["--page", "page.md", "--data", "."]])
def test_records_that_are_not_there_are_refused(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="file of finished runs, got no none.jsonl"):
        command.run(arguments("--records", "none.jsonl", *more))
    if "--data" not in more:
        Path("runs.jsonl").touch()
        with pytest.raises(InputError, match="file of scores and probes, got no docs/study/scores.jsonl"):
            command.run(arguments("--records", "runs.jsonl", *more))
    assert not Path("page.md").exists()


@pytest.mark.parametrize("option", ["--records", "--scores", "--page", "--work-dir"])
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_refused(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    words = {"--data": ".", "--scores": "file", "--records": "file", option: "file" if option == "--work-dir" else "."}
    with pytest.raises(InputError, match=f"got the f.*{option}"):
        command.run(arguments(*(word for pair in words.items() for word in pair)))


def test_a_table_of_fewer_cells_does_not_replace_the_one_that_ships(tmp_path):
    path, table = tmp_path / "study.md", tmp_path / "table.json"
    write_page(whole(), path, table)
    before = path.read_text(), table.read_text()
    fewer = whole()
    fewer.cells.pop()
    with pytest.raises(InputError, match=r"at least the 44 cells that .*table.json has, got \d+ from the"):
        write_page(fewer, path, table)
    assert (path.read_text(), table.read_text()) == before


@pytest.mark.skipif(not COMMITTED[1].is_file(), reason="an installed package has no records")
def test_what_is_committed_is_what_the_records_give():
    grid = read_grid(*COMMITTED)
    again = "run: frozen-det benchmark advisor --page docs/study.md"
    assert table_text(grid) == TABLE.read_text(encoding="utf-8"), again
    assert PART.of((ROOT / "docs" / "study.md").read_text(encoding="utf-8")) == PART.around(section(grid)), again
