"""What is refused of a line of a file of records, with its place; what may stay."""

import json
import math

import numpy as np
import pytest

from frozen_det.benchmarks.study.arms import StudyRun
from frozen_det.benchmarks.study.records import COSTS, FACTS, RUNS, append_record, read_records
from frozen_det.benchmarks.study.running import NUM_RESAMPLES, packed
from frozen_det.errors import InputError

from . import made

GOOD = {
    "runs": (RUNS, [made.record(StudyRun("bccd", fold, "Lite0", "frozen", 1e-3), 0.3) for fold in range(2)]),
    "costs": (COSTS, [made.cost("one"), made.cost("other")]),
    "sets": (FACTS, [made.facts("bccd"), made.facts("kangaroo")]),
}


def lines(path, *records):
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return path


@pytest.mark.parametrize("kind", GOOD)
def test_good_records_are_read_in_order_and_the_same_one_twice(tmp_path, kind):
    fields, found = GOOD[kind]
    assert read_records(lines(tmp_path / "one.jsonl", found[0], "", found[1], found[0]), fields) == [*found, found[0]]


@pytest.mark.parametrize("kind", GOOD)
def test_a_record_that_lacks_a_field_is_named_with_the_field(tmp_path, kind):
    fields, (good, other) = GOOD[kind]
    for name in fields:
        bad = json.loads(json.dumps(other))
        *above, last = name.split(".")
        inner = bad
        for word in above:
            inner = inner[word]
        del inner[last]
        with pytest.raises(InputError, match=f"'{name}.*' as .*without it, in line 2 of .*bad.jsonl.*Remove the line"):
            read_records(lines(tmp_path / "bad.jsonl", good, bad), fields)


@pytest.mark.parametrize("text", ["5", "[1]", '"one"', "null"])
def test_json_that_is_no_record_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="a record with names and values, got .* in line 1 of"):
        read_records(lines(tmp_path / "bad.jsonl", text))


@pytest.mark.parametrize(
    "kind, name, value, told",
    [
        ("runs", "val_AP", math.nan, "'val_AP' as a finite number, got NaN"),
        ("runs", "val_AP", "0.5", "'val_AP' as a finite number, got \"0.5\""),
        ("runs", "val_AP", True, "'val_AP' as a finite number, got true"),
        ("runs", "numbers", {"mAP": math.nan}, "'numbers' as finite numbers by name"),
        ("runs", "numbers", [0.3], "'numbers' as finite numbers by name"),
        ("runs", "classes", {"one": math.inf}, "'classes' as finite numbers by name"),
        ("runs", "loss", [1.0, {"of": math.nan}], "finite numbers, got loss\\[1\\].of nan"),
        ("runs", "resampled", packed(np.zeros(NUM_RESAMPLES - 1)), "'resampled' as base64 of 200 numbers"),
        ("runs", "resampled", packed(np.zeros(NUM_RESAMPLES))[:-1], "'resampled' as base64 of 200 numbers"),
        ("runs", "resampled", 7, "'resampled' as base64 of 200 numbers"),
        ("runs", "fold", 3, "'fold' as one of 0, 1, 2, got 3"),
        ("runs", "set", "zoo", "'set' as one of bccd, kangaroo, .*, got \"zoo\""),
        ("runs", "backbone", ["Lite0"], "'backbone' as one of Lite0, Lite1, .*, got \\[\"Lite0\"\\]"),
        ("costs", "cpu_ms", None, "'cpu_ms' as a finite number, got null"),
        ("sets", "key", "zoo", "'key' as one of bccd, kangaroo"),
        ("sets", "classes", {}, "'classes' as counts by name, at least one, got {}"),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path, kind, name, value, told):
    fields, (good, other) = GOOD[kind]
    with pytest.raises(InputError, match=f"{told}.* in line 2 of .*bad.jsonl"):
        read_records(lines(tmp_path / "bad.jsonl", good, {**other, name: value}), fields)


def test_two_records_of_one_key_that_differ_are_refused(tmp_path):
    good, other = GOOD["runs"][1]
    path = lines(tmp_path / "bad.jsonl", good, other, {**good, "numbers": {"mAP": 0.4}})
    with pytest.raises(InputError, match=f"one record of {good['key']}, .* lines 1 and 3 of .*bad.jsonl"):
        read_records(path)


def test_a_folder_is_no_file_of_records(tmp_path):
    with pytest.raises(InputError, match="expected a file, got the folder"):
        read_records(tmp_path)


def test_a_number_that_is_not_finite_is_not_written(tmp_path):
    path = tmp_path / "runs.jsonl"
    with pytest.raises(InputError, match="record of one, got numbers.mAP nan; it is not written to .*runs.jsonl"):
        append_record(path, {"key": "one", "numbers": {"mAP": math.nan}})
    assert not path.exists()
