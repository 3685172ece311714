"""What is refused of a line of scores and probes."""

import json
import math

import pytest

from frozen_det.advisor.study.records import SCORES
from frozen_det.benchmarks.study.records import read_records
from frozen_det.errors import InputError

from .made import score_record

GOOD = score_record("bccd", "Lite0", 0.2, LogME=0.5)


def read(path, *records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return read_records(path, SCORES)


def test_good_scores_are_read(tmp_path):
    found = [GOOD, score_record("kangaroo", "Lite2", 0.1)]
    assert read(tmp_path / "scores.jsonl", *found) == found


@pytest.mark.parametrize("name", SCORES)
def test_scores_that_lack_a_field_are_refused(tmp_path, name):
    above, _, last = name.rpartition(".")
    bad = json.loads(json.dumps(GOOD))
    del (bad[above] if above else bad)[last]
    with pytest.raises(InputError, match=f"'{name}' as .* without it, in line 2 of .*scores.jsonl"):
        read(tmp_path / "scores.jsonl", GOOD, bad)


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"set": "zoo"}, "'set' as one of bccd, kangaroo, .*, got \"zoo\""),
        ({"backbone": "Lite9"}, "'backbone' as one of Lite0, Lite1, Lite2, MobileNetV2, got \"Lite9\""),
        ({"probe": {**GOOD["probe"], "AP": math.nan}}, "'probe.AP' as a finite number, got NaN"),
        ({"probe": 0.2}, "'probe.AP' as a finite number, got a record without it"),
        ({"scores": {"LogME": math.nan}}, "'scores' as finite numbers by name"),
    ],
)
def test_scores_that_cannot_be_are_refused(tmp_path, changed, told):
    with pytest.raises(InputError, match=f"{told}.* in line 1 of"):
        read(tmp_path / "scores.jsonl", {**GOOD, **changed})
