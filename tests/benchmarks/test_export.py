"""The benchmark of exports measures what was written, all variants in turns, against eager."""

import json

import pytest

from frozen_det.benchmarks import export as benchmark_export
from frozen_det.cli import main

from ..torch_versions import needs_programs


@pytest.fixture(scope="module")
def rows():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    return {row.arm: row for row in benchmark_export.measure("test_resnet", (8, 16), (64, 96), 2, 3, fixed=True)}


@needs_programs
def test_each_variant_has_its_file_its_times_and_its_ratio(rows):
    assert list(rows) == ["eager", "onnxruntime", "torch.export"]
    eager = rows["eager"]
    assert eager.difference is None and (eager.wall_ratio, eager.cpu_ratio) == (1.0, 1.0) and eager.open_size
    for row in (rows["onnxruntime"], rows["torch.export"]):
        assert row.difference <= 1e-4 and not row.open_size
        assert row.wall_ratio == pytest.approx(row.wall_ms / eager.wall_ms)
    weights_mib = 4 * eager_values() / 2**20
    assert all(weights_mib < row.file_mib < weights_mib + 1 for row in rows.values())


def eager_values() -> int:
    """Values in the file: float32, but for the norms' counters."""
    from frozen_det.models import FrozenBackbone

    backbone = FrozenBackbone(dict(type="timm", name="test_resnet"), "random", (8, 16))
    return sum(value.numel() for value in backbone.body.state_dict().values() if value.is_floating_point())


@needs_programs
def test_the_table_and_the_json_name_every_variant(rows, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_export, "measure", lambda *_: list(rows.values()))
    assert main(["benchmark", "export", "--bodies", "test_resnet"]) == 0
    printed = capsys.readouterr().out
    assert all(arm in printed for arm in rows) and "x CPU" in printed
    assert main(["benchmark", "export", "--bodies", "test_resnet", "--json"]) == 0
    assert [row["arm"] for row in json.loads(capsys.readouterr().out)] == list(rows)


@pytest.mark.parametrize("given", [["--passes", "0"], ["--batch", "0"]])
def test_nothing_to_measure_is_one_line(given, capsys):
    assert main(["benchmark", "export", *given]) == 2
    assert "expected --passes and --batch from 1 on" in capsys.readouterr().err
