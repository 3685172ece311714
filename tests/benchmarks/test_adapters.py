"""The benchmark of adapters counts what it says it counts."""

import argparse
import json

import pytest
import torch
from torch import nn

from frozen_det.benchmarks import adapters as benchmark_adapters
from frozen_det.benchmarks.measurement import kept_bytes
from frozen_det.errors import InputError
from frozen_det.host.torch_versions import TORCH

TINY = dict(type="timm", name="test_resnet")


@pytest.fixture(scope="module")
def rows():
    return {
        row.arm: row for row in benchmark_adapters.measure("tiny", TINY, ["parallel", "lora"], (64, 96), 1, 2, "cpu")
    }


def test_every_kind_is_measured_beside_frozen_and_fine_tuned(rows):
    assert list(rows) == ["fine-tuned", "frozen", "parallel", "parallel from stage 3", "lora", "lora from stage 3"]


def test_parameters_and_shares_are_the_backbones(rows):
    base = 372688
    # 1x1 layers beside the seven 3x3 convolutions of the blocks
    added = 32 * 32 * 2 + 32 * 48 + 48 * 48 + 48 * 48 + 192 * 96 + 96 * 96
    assert (rows["frozen"].added_params, rows["frozen"].trainable_params) == (0, 0)
    assert (rows["fine-tuned"].trainable_params, rows["fine-tuned"].trainable_share) == (base, 1)
    assert rows["parallel"].added_params == rows["parallel"].trainable_params == added
    assert rows["parallel"].trainable_share == pytest.approx(added / (base + added))


def test_less_is_kept_the_less_is_reached_by_gradients(rows):
    kept = [rows[arm].kept_mib for arm in ("fine-tuned", "parallel", "parallel from stage 3", "frozen")]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 4


@pytest.mark.skipif(TORCH < (2, 2), reason="needs torch >= 2.2: the mean of torch 2.1 keeps its input as well")
def test_bytes_kept_are_those_of_distinct_activations():
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)
    first.requires_grad_(False)
    model, images = nn.Sequential(first, second), torch.randn(2, 3, 8, 8)
    own = [*model.parameters(), images]

    def loss():
        return model(images).square().mean()

    # The second layer keeps its input (4 channels), the square its own (5 channels); no parameter, no image.
    assert kept_bytes(loss, own) == 2 * (4 + 5) * 64 * 4
    second.requires_grad_(False)
    assert kept_bytes(loss, own) == 0


def test_the_table_relates_times_to_the_frozen_backbone_of_the_same_name(rows):
    lines = benchmark_adapters.table(list(rows.values())).splitlines()
    assert lines[2].split()[-2:] == ["1.00", "-"]
    wanted = rows["parallel"].cpu_ms / rows["frozen"].cpu_ms
    assert float(lines[3].split()[-2]) == pytest.approx(wanted, abs=0.006)


def run(*options):
    parser = argparse.ArgumentParser()
    benchmark_adapters.add_arguments(parser)
    return benchmark_adapters.run(parser.parse_args(list(options)))


def test_the_command_prints_json(capsys):
    run(
        "--bodies",
        "test_resnet",
        "--kinds",
        "series",
        "--size",
        "32",
        "64",
        "--steps",
        "1",
        "--json",
        "--device",
        "cpu",
    )
    found = json.loads(capsys.readouterr().out)
    assert [row["arm"] for row in found] == ["fine-tuned", "frozen", "series", "series from stage 3"]
    assert all(row["body"] == "test_resnet" and row["step_ms"] > 0 for row in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kinds", "paralel"), "'conv_adapter', 'lora', 'parallel', 'series'.* got 'paralel'"),
        (("--steps", "0"), "from 1 on"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(*options)
