"""A run whose training logged no number that can be read."""

import math

import pytest
from mmengine.logging import HistoryBuffer

from frozen_det.benchmarks.study import running
from frozen_det.errors import InputError


@pytest.mark.parametrize("logged, told", [(None, "none"), (math.nan, "nan")])
def test_a_training_that_logs_no_number_ends_in_an_error(logged, told):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    scalars = {"val": history}
    assert running._last(scalars, "val") == 0.25
    if logged is not None:
        history.update(logged)
    with pytest.raises(InputError, match=f"finite (val|loss), got {told}.* not recorded"):
        running._last(scalars, "loss" if logged is None else "val")
