"""The mixing benchmark: every variant does the same work, and ratios are those of the times."""

import argparse
import json

import pytest
import torch

from frozen_det.benchmarks import mixing as bench
from frozen_det.errors import InputError


def run(*options):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(list(options)))


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
def test_every_variant_mixes_images_and_builds_targets_that_sum_to_one(kind):
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8)
    found = bench.variants(kind, 10, 1.0)
    assert list(found) == [bench.IN_PLACE, bench.COPY, bench.TIMM, bench.TORCHVISION]
    for by, mix in found.items():
        own = images.clone()
        changed = []
        for _ in range(5):  # one draw may be an empty box
            mixed, targets = mix(own, labels)
            assert mixed.shape == images.shape and torch.allclose(targets.sum(1), torch.ones(8))
            assert targets.shape == (8, 10)
            changed.append(not torch.equal(mixed, images))
        assert any(changed) and torch.equal(own, images) == (by in (bench.COPY, bench.TORCHVISION))


def test_a_small_run_fills_every_row_and_says_what_the_libraries_refuse(capsys):
    run("--batch-size", "4", "--size", "16", "--num-classes", "5", "--repeats", "2", "--device", "cpu", "--json")
    found = json.loads(capsys.readouterr().out)
    rows = {(row["dtype"], row["kind"], row["by"]): row for row in found["rows"]}
    assert len(rows) == 2 * (4 + 4 + 2) and found["batch_size"] == 4
    refused = {key for key, row in rows.items() if row["wall_ms"] is None}
    assert refused == {("uint8", "mixup", bench.TIMM), ("uint8", "mixup", bench.TORCHVISION)}
    for key, row in rows.items():
        assert row["host_waits"] is None
        assert (row["of_library"] is None) == (key[1] == "cutout" or key[:2] == ("uint8", "mixup"))
        if key not in refused:
            assert row["wall_ms"] > 0 and row["cpu_ms"] > 0


def test_ratios_are_to_the_faster_library_by_the_time_that_counts():
    rows = [
        bench.Row("float32", "cutmix", by, wall_ms=wall, spread_ms=0.0, cpu_ms=cpu)
        for by, wall, cpu in ((bench.IN_PLACE, 9.0, 3.0), (bench.TIMM, 6.0, 6.0), (bench.TORCHVISION, 3.0, 12.0))
    ]
    bench.set_ratios(rows, on_gpu=False)
    assert [row.of_library for row in rows] == [0.5, 1.0, 2.0]
    assert "0.50 at most, at cutmix of float32" in bench.table(rows)
    bench.set_ratios(rows, on_gpu=True)
    assert [row.of_library for row in rows] == [3.0, 2.0, 1.0]


def test_the_table_names_every_variant(capsys):
    run("--batch-size", "2", "--size", "8", "--repeats", "1", "--device", "cpu", "--dtypes", "uint8")
    text = capsys.readouterr().out
    assert text.count("refuses uint8") == 2 and text.count("cutmix") == 5 and "float32" not in text


def test_it_is_a_part_of_the_command():
    from frozen_det.cli.benchmark import WHAT

    assert WHAT["mixing"] == "mixing"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_host_does_not_wait():
    rows = bench.measure("float32", 8, 32, 10, 1.0, 3, torch.device("cuda"))
    assert {row.by: row.host_waits for row in rows if row.by in (bench.IN_PLACE, bench.COPY)} == {
        bench.IN_PLACE: False,
        bench.COPY: False,
    }


@pytest.mark.parametrize(
    "options, message",
    [
        (("--batch-size", "5"), "even --batch-size"),
        (("--batch-size", "0"), "--batch-size from 1 on"),
        (("--repeats", "0"), "--repeats from 1 on"),
        (("--alpha", "0"), "--alpha above 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(*options)
