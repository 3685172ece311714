"""The benchmark of the frozen forward: variants, bytes counted by hand, ratios, and variants that cannot run."""

import argparse
import json

import pytest
import torch

from frozen_det.benchmarks import forward_options as bench
from frozen_det.errors import InputError


def test_the_peak_is_what_is_held_at_once_and_not_the_sum():
    images = torch.zeros(1000)

    def call():
        first = images + 1  # 4000 bytes
        second = torch.cat([first, first])  # 8000 more
        del first
        return second + 1  # 8000 more, 4000 less

    held = []
    assert bench.peak_bytes(lambda: held.append(call()), "cpu") == pytest.approx(16000, abs=400)
    assert bench.peak_bytes(lambda: None, "cpu") == 0


def run(*options):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(["--device", "cpu", "--size", "64", "--batch", "1", *options]))


def test_variants_are_measured_beside_eager_with_what_they_hold_and_change(capsys):
    run("--bodies", "timm/test_resnet", "--arms", "fold", "bf16", "--rounds", "2", "--json")
    printed = capsys.readouterr()
    rows = {row["arm"]: row for row in json.loads(printed.out)["rows"]}
    assert list(rows) == ["eager", "fold", "bf16"]
    eager, fold, bf16 = rows.values()
    assert (eager["x_eager"], eager["x_eager_cpu"], eager["difference"], eager["twin_mib"]) == (1, 1, 0, 0)
    for row in rows.values():
        assert row["x_eager"] == pytest.approx(row["ms"] / eager["ms"])
        assert row["first_ms"] > 0 and row["peak_mib"] > 0
    assert (fold["num_folded"], bf16["num_folded"]) == (15, 0)
    assert 0 < fold["difference"] < 1e-5 < bf16["difference"] < 5e-2
    assert fold["twin_mib"] > 1 > bf16["twin_mib"] == 0
    assert "timm/test_resnet: 100%" in printed.err


def test_a_variant_that_cannot_run_says_why_and_leaves_the_others(capsys, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    run("--bodies", "timm/test_resnet", "--arms", "compile", "channels_last", "--rounds", "1")
    lines = capsys.readouterr().out.splitlines()
    assert "not available: expected a C++ compiler" in next(line for line in lines if " compile " in line)
    assert next(line for line in lines if " channels_last " in line).split()[5] != "available:"
    assert lines[0].startswith("1 x 64 x 64 px, 1 rounds, CPU, ")


def test_the_table_prints_ratios_to_eager():
    row = bench.Row("timm/a", "fold", 50.0, 4.0, 90.0, 0.5, 0.45, 10.0, 2.5, 3, 1500.0, 2e-6)
    cells = bench.table([row]).splitlines()[1].split()
    assert cells == ["timm/a", "fold", "50", "2", "0.50", "90", "0.45", "10.0", "2.5", "3", "1.5", "2e-06"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arms", "channels-last"), "got 'channels-last'; did you mean 'channels_last'"),
        (("--rounds", "0"), "from 1 on"),
        (("--bodies", "resnet50"), "timm/NAME or torchvision/NAME, got 'resnet50'"),
        (("--bodies", "timm/resnet5"), "timm has no model"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(*options)
