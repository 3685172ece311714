"""The benchmark of checkpoints saves what the hook saves, and says by how much a lean file exceeds its share."""

import argparse
import json

import pytest

from frozen_det.benchmarks import checkpoint as bench
from frozen_det.errors import InputError

SMALL = "faster-rcnn_{}-efficientnetlite0_fpn_plain-8e_toy"


@pytest.fixture(scope="module")
def rows():
    return {row.arm: row for row in bench.measure(SMALL.format("frozen"), repeats=1)}


def test_a_lean_file_is_the_trainable_share_and_a_full_one_the_model(rows):
    assert list(rows) == [bench.LEAN, bench.FULL, bench.HOST]
    assert rows[bench.FULL].share > 1 and rows[bench.HOST].share > 1
    # A small model: the names of its tensors weigh something too.
    assert 0 < rows[bench.LEAN].share - rows[bench.LEAN].trainable_share < 0.05
    assert rows[bench.LEAN].mib < 0.5 * rows[bench.FULL].mib
    assert all(row.save_ms > 0 for row in rows.values())


def test_the_table_and_the_json_hold_the_same_numbers(rows, capsys, monkeypatch):
    monkeypatch.setattr(bench, "measure", lambda config, repeats: list(rows.values()))
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    bench.run(parser.parse_args(["--configs", "any", "--json"]))
    assert [r["mib"] for r in json.loads(capsys.readouterr().out)] == [row.mib for row in rows.values()]
    bench.run(parser.parse_args(["--configs", "any"]))
    excess = 100 * (rows[bench.LEAN].share - rows[bench.LEAN].trainable_share)
    assert f"lean is {excess:+.2f} % of the model" in capsys.readouterr().out


def test_a_config_that_freezes_nothing_is_refused():
    with pytest.raises(InputError, match="frozen backbone, got faster-rcnn_finetune"):
        bench.measure("faster-rcnn_finetune-efficientnetlite0_fpn_ssj-8e_toy", repeats=1)
