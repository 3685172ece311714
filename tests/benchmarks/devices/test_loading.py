"""What loading costs: workers by hand, decoders of equal pictures, absent packages named, the tables whole."""

import importlib.util
import json

import numpy as np
import pytest

from frozen_det.benchmarks.devices import loading
from frozen_det.cli import main


@pytest.mark.parametrize(
    ("ms", "per_second", "workers"), [(25.0, 40, 1), (25.1, 40, 2), (10.0, 10, 1), (60.0, 160, 10), (1.0, 10, 1)]
)
def test_workers_are_the_time_of_the_images_used_in_a_second(ms, per_second, workers):
    assert loading.workers_needed(ms, per_second) == workers


@pytest.mark.slow
def test_the_benchmark_fills_its_tables(capsys):
    options = [
        "--images",
        "4",
        "--rounds",
        "1",
        "--pipelines",
        "custom_coco, 512 px",
        "--speeds",
        "10",
        "1000",
        "--json",
    ]
    assert main(["benchmark", "loading", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {(row["what"], row["name"]): row for row in found["rows"]}
    assert [name for what, name in rows if what == "decoder"] == list(loading.DECODERS)
    for (_, name), row in rows.items():
        assert row["unavailable"] or row["ms"] > 0, name
    assert rows["decoder", "cv2"]["ms"] < rows["pipeline", "custom_coco, 512 px"]["ms"]
    few, many = found["workers"]["custom_coco, 512 px"]
    assert few == 1 < many == loading.workers_needed(rows["pipeline", "custom_coco, 512 px"]["ms"], 1000)


def jpeg() -> bytes:
    """A ramp of 64 x 48 px."""
    import cv2

    return cv2.imencode(".jpg", np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8))[1].tobytes()


def test_decoders_give_the_same_picture():
    content = jpeg()
    wanted = loading._decoder("cv2")(content)
    for name, package in loading.DECODERS.items():
        if package and importlib.util.find_spec(package) is None:
            continue
        found = loading._decoder(name)(content)
        if "size" in name:
            factor = 2 if "half" in name else 4
            assert found.shape == (48 // factor, 64 // factor, 3)
        else:
            assert np.abs(found.astype(int) - wanted).max() <= 2, name


def test_a_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(loading, "DECODERS", {"other": "no_such_decoder", "cv2": None})
    monkeypatch.setattr(loading, "_dataset", lambda data, config: [0, 1])
    monkeypatch.setattr(loading, "_jpegs", lambda dataset, most, data: [jpeg()])
    monkeypatch.setattr(loading, "_loader", lambda dataset, pinned: [])
    rows = loading.measure(None, ["custom_coco, 512 px"], 2, 1)
    assert rows[0].unavailable == "the package no_such_decoder is not installed" and rows[1].ms is not None
    assert "no_such_decoder" in loading.rows_table(rows)


def test_numbers_below_one_are_refused(capsys):
    assert main(["benchmark", "loading", "--rounds", "0"]) == 2
    assert "--rounds from 1 on" in capsys.readouterr().err
