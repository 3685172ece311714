"""The benchmark of a family compares the same work with and without sharing, and says what sharing can reach."""

import pytest

from frozen_det.benchmarks import family as benchmark_family
from frozen_det.cli import main


@pytest.fixture(scope="module")
def rows():
    return {row.work: row for row in benchmark_family.measure("test_resnet", "fpn", (64, 96), 2, 2, peak=False)}


def test_every_kind_of_work_is_measured_against_its_own_bound(rows):
    assert list(rows) == ["use", "training", "cache"]
    for row in rows.values():
        assert 0 < row.share < 1 and len(row.of_bound) == 2 and row.peak_mib is None


@pytest.mark.parametrize(("backbone", "bound"), [(0.0, 1.0), (4.0, 0.25), (2.0, 0.625)])
def test_the_bound_counts_the_backbone_once_and_the_rest_k_times(backbone, bound):
    share, ratio, found = benchmark_family._against_bound(4.0, 3.0, backbone, 4)
    assert (share, ratio, found) == (backbone / 4, 0.75, bound)
    assert benchmark_family._against_bound(4.0, 3.0, backbone, 0)[2] == 1 - backbone / 4  # of a cache


def test_the_memory_bound_counts_the_backbone_once(monkeypatch):
    monkeypatch.setattr(benchmark_family, "in_fresh_process", lambda *given, **_: 10.0 if "alone" in given[2] else 8.0)
    row = benchmark_family.Row("", "fpn", "use", 0, 0, 0, 0, 0, [], 0)
    benchmark_family._add_peak(row, 1.5, (64, 96), 3)
    assert row.peak_mib == (10.0, 8.0) and row.peak_of_bound == 8 / (10 - 2 * 1.5)


def test_frozen_tensors_are_counted_in_mebibytes():
    detector = benchmark_family._detector("test_resnet", "fpn", (64, 96))
    backbone = sum(one.nbytes for one in detector.model.backbone.state_dict().values()) / 2**20
    assert benchmark_family._frozen_mib(detector) == pytest.approx(backbone)


def test_the_table_has_a_line_for_each(rows, monkeypatch, capsys):
    monkeypatch.setattr(benchmark_family, "measure", lambda *_, **__: list(rows.values()))
    assert main(["benchmark", "family", "--bodies", "test_resnet"]) == 0
    assert capsys.readouterr().out.count("test_resnet") == 3


def test_no_members_is_one_line(capsys):
    assert main(["benchmark", "family", "--members", "0"]) == 2
    assert "expected --members and --rounds from 1 on, got 0 and 3" in capsys.readouterr().err
