"""The timer of the benchmarks: turns, warm-up, median and spread; memory; tables."""

from types import SimpleNamespace

import pytest

from frozen_det.benchmarks.measurement import (
    Times,
    in_fresh_process,
    in_turns,
    kept_bytes,
    refuse_unknown_families,
    require_from_one,
    text_table,
)
from frozen_det.errors import InputError


def test_calls_take_turns_each_comes_first_and_warm_up_does_not_count():
    called, ended = [], []
    calls = {name: lambda name=name: called.append(name) for name in "abc"}
    times = in_turns(calls, 4, warm_up=2, after=ended.append)
    assert len(called) == 3 * 6 and {called[i] for i in range(0, 18, 3)} == {"a", "b", "c"}
    assert all(set(called[i : i + 3]) == {"a", "b", "c"} for i in range(0, 18, 3))
    assert ended == called
    assert all(len(took.walls) == len(took.cpus) == 4 for took in times.values())


def test_times_are_median_and_quartile_range_in_ms_and_one_round_has_no_spread():
    times = Times([0.001, 0.002, 0.004, 0.008], [0.5, 0.1, 0.3, 0.2])
    assert (times.wall_ms, times.cpu_ms) == (pytest.approx(3), pytest.approx(250))
    assert times.spread_ms == pytest.approx(7 - 1.25)  # quartiles by the exclusive method
    assert Times([0.001], [0.001]).spread_ms == 0


def test_a_timed_call_gives_back_what_it_returns():
    times = Times()
    assert times.add(lambda: "found") == "found" and times.walls[0] >= 0 and times.peaks == [0]


def test_a_saved_tensor_that_autograd_released_is_not_kept():
    import torch

    weight = torch.ones(10, requires_grad=True)

    def loss():
        (weight * 2).sin()  # its graph is gone at once
        return (weight * 3).sin().sum()  # sin keeps its input

    assert kept_bytes(loss, [weight]) == 40


def test_columns_are_as_wide_as_they_must_be_and_words_may_end_a_row():
    text = text_table("name|ms|x", [["a", "10.5", "1.0"], ["longer", "not available: here"]], left=1)
    assert text.splitlines() == ["name      ms    x", "a       10.5  1.0", "longer  not available: here"]


def test_options_below_one_and_unknown_families_are_named():
    args = SimpleNamespace(batch_size=0, steps=3, passes=1)
    with pytest.raises(InputError, match="--batch-size, --steps and --passes from 1 on, got 0, 3 and 1"):
        require_from_one(args, "batch_size", "steps", "passes")
    with pytest.raises(InputError, match="families of timm, got 'resnt'; did you mean 'resnet'"):
        refuse_unknown_families(["resnt"], ["resnet", "vgg"], "timm")
    refuse_unknown_families(None, [], "timm")


def test_a_process_that_fails_is_reported_with_its_last_output():
    with pytest.raises(InputError, match="expected the thing to be done, got:(.|\n)*No module named"):
        in_fresh_process("no_such_module_anywhere", what="the thing to be done")
