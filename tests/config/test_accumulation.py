"""Gradient accumulation is one number under two names, and the learning rate stays that of the whole batch."""

import pytest

from frozen_det.errors import InputError

from .conftest import with_options


def numbers(cfg):
    return cfg.accumulate, cfg.optim_wrapper.accumulative_counts, cfg.auto_scale_lr.base_batch_size


@pytest.mark.parametrize("option", ["accumulate=4", "optim_wrapper.accumulative_counts=4"])
def test_either_name_as_an_option_sets_both_and_divides_the_base_batch(option):
    assert numbers(with_options("quickstart", option)) == (4, 4, 2)


@pytest.mark.parametrize("line", ["accumulate = 4", "optim_wrapper = dict(accumulative_counts=4)"])
def test_either_name_in_a_child_does_the_same(child, line):
    assert numbers(child("quickstart", line)) == (4, 4, 2)


def test_an_option_wins_over_a_child(child):
    assert numbers(child("quickstart", "accumulate = 4", "accumulate=2")) == (2, 2, 4)
    assert numbers(child("quickstart", "accumulate = 4", "optim_wrapper.accumulative_counts=2")) == (2, 2, 4)


def test_two_numbers_that_differ_are_refused(child):
    with pytest.raises(InputError, match="accumulate is 2 and optim_wrapper.accumulative_counts is 4"):
        with_options("quickstart", "accumulate=2", "optim_wrapper.accumulative_counts=4")
    with pytest.raises(InputError, match="accumulate is 2 and optim_wrapper.accumulative_counts is 4"):
        child("quickstart", "accumulate = 2\noptim_wrapper = dict(accumulative_counts=4)")


def test_a_written_config_is_not_divided_twice(tmp_path):
    with_options("quickstart", "accumulate=4").dump(str(tmp_path / "written.py"))
    assert numbers(with_options(tmp_path / "written.py")) == (4, 4, 2)
    assert numbers(with_options(tmp_path / "written.py", "accumulate=2")) == (2, 2, 4)
