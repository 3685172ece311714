"""Of two processes of a loop one is killed, three times, and the same command goes on to the same end.

`python -m tests.upstream.noisy_student.killed_ranks FOLDER` does so at every place that it names, a loop each.
"""

import signal

import pytest

from .killed_ranks import end_of, launch, left_behind, places, run, write_data

PLACES = ("teacher: second epoch", "labels: second part half-written", "student: checkpoint half-written")


@pytest.mark.slow
@pytest.mark.distributed
def test_a_loop_of_which_a_rank_is_killed_three_times_ends_as_one_that_ran_through(tmp_path):
    write_data(tmp_path)
    launches = [launch(tmp_path, "killed", place) for place in PLACES]
    whole, *killed, again = run(tmp_path, "all", [launch(tmp_path, "whole"), *launches, launch(tmp_path, "killed")])
    for place, one in zip(PLACES, killed, strict=True):
        rank = places()[place][0]
        assert one["codes"][rank] == -signal.SIGKILL and one["codes"][1 - rank] == 1, (place, one["texts"])
        assert one["ended"][1 - rank] - one["ended"][rank] < 60
        (line,) = [text for text in one["texts"][1 - rank].splitlines() if text.startswith("frozen-det noisy_student:")]
        assert "another process of this run is gone" in line and "Traceback" not in one["texts"][1 - rank]
    assert whole["codes"] == again["codes"] == [0, 0], again["texts"]
    assert "goes on" in again["texts"][0] and "[round 1 labels] reused" in again["texts"][0]
    found, wanted = end_of(tmp_path / "killed"), end_of(tmp_path / "whole")
    assert found.keys() == wanted.keys() and len(wanted) > 100
    assert [name for name, value in wanted.items() if found[name] != value] == []
    assert left_behind(tmp_path / "killed") == []
