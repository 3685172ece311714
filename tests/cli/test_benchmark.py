"""The dispatcher hands options on and names what it does not know."""

import pytest

from frozen_det.cli import main
from frozen_det.cli.benchmark import WHAT


def test_options_behind_what_reach_the_benchmark(monkeypatch):
    from frozen_det.benchmarks import evaluation as benchmark_evaluation

    seen = {}
    monkeypatch.setattr(benchmark_evaluation, "run", lambda args: seen.update(vars(args)) or 0)
    assert main(["benchmark", "evaluation", "--sets", "lvis", "--json"]) == 0
    assert seen["sets"] == ["lvis"] and seen["json"] is True


def test_an_unknown_benchmark_ends_with_code_two_and_the_known_names(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "evaluatoin"])
    assert stop.value.code == 2 and "evaluation" in capsys.readouterr().err


def test_help_lists_each_benchmark_with_its_first_line(capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in WHAT) and "Time and memory of evaluation" in printed


def test_a_benchmark_that_is_not_there_is_one_clear_line(monkeypatch, capsys):
    monkeypatch.setitem(WHAT, "nothing", "benchmark_nothing")
    assert main(["benchmark", "nothing"]) == 2
    assert "'nothing'" in capsys.readouterr().err
