"""The benchmark of Copy-Paste measures both variants on the same draws and says which allocator they ran under."""

import argparse
import json

import pytest

from frozen_det.benchmarks import copy_paste as benchmark_copy_paste
from frozen_det.benchmarks import copy_paste_pipelines as copy_paste_arms
from frozen_det.benchmarks import measurement
from frozen_det.errors import InputError


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from frozen_det.datasets.toy.toy_scenes import write_toy_scenes

    return str(
        write_toy_scenes(tmp_path_factory.mktemp("toys") / "scenes", num_train=6, num_val=1, report=lambda _: None)
    )


def settings_of(scenes, **further):
    return dict(data=scenes, size=96, num=4, seed=0, cache=8.0, objects=[3], trials=2, batch_size=2) | further


def parsed(*argv):
    parser = argparse.ArgumentParser()
    benchmark_copy_paste.add_arguments(parser)
    return parser.parse_args(argv)


def test_whole_samples_are_timed_by_both_clocks_with_and_without_a_cache(scenes):
    rows = benchmark_copy_paste.measure_samples(settings_of(scenes))
    assert [row["of"] for row in rows] == [
        "samples/s (wall time)",
        "samples/s (CPU time)",
        "samples/s (wall time), 8 MiB donor cache",
        "samples/s (CPU time), 8 MiB donor cache",
    ]
    for row in rows:
        assert row["times"] == pytest.approx(row["frozen_det"] / row["mmdet"])
        assert 0.1 < row["mmdet"] < 1e5 and 0.1 < row["frozen_det"] < 1e5


def test_both_variants_see_the_same_images_in_the_same_order_and_repeat(scenes):
    data = copy_paste_arms.coco_data(scenes)
    for arm in copy_paste_arms.ARMS:
        dataset = copy_paste_arms.copy_paste_samples(arm, data, 96)
        first, again = ([copy_paste_arms.SeededByPlace(dataset, 8)[place] for place in range(8)] for _ in range(2))
        names = [sample["data_samples"].img_path.rsplit("/", 1)[1] for sample in first]
        assert names == [f"train_{n:05d}.jpg" for n in (1, 2, 3, 4, 5, 6, 1, 2)], arm
        assert all((a["inputs"] == b["inputs"]).all() for a, b in zip(first, again))
        assert any(
            a["inputs"].shape != b["inputs"].shape or (a["inputs"] != b["inputs"]).any()
            for a, b in [(first[0], first[6])]
        ), "the second pass has draws of its own"


def test_the_paste_alone_is_timed_only_where_both_give_the_same_picture():
    rows = benchmark_copy_paste.measure_paste(dict(objects=[3], size=96, seed=0, trials=2))
    assert [row["of"] for row in rows] == [
        f"ms, 3 objects, {selection}, {kind}"
        for selection in ("subset", "all")
        for kind in ("our masks", "full bitmaps in", "full bitmaps in, out")
    ]
    assert all(row["times"] == pytest.approx(row["mmdet"] / row["frozen_det"]) for row in rows)


def test_bytes_of_a_sample_are_at_least_those_of_its_pixels(scenes):
    rows = {arm: benchmark_copy_paste.measure_memory(settings_of(scenes, arm=arm)) for arm in copy_paste_arms.ARMS}
    assert rows["mmdet"]["MiB of a sample, mean"] > 96 * 96 * 3 / 2**20
    for arm in copy_paste_arms.ARMS:
        assert rows[arm]["MiB of a sample, largest"] >= rows[arm]["MiB of a sample, mean"]
        assert rows[arm]["MiB of a worker at most, in all"] > 100


def test_a_worker_that_took_nothing_beyond_its_start_has_no_ratio(scenes, monkeypatch, capsys):
    peaks = {"frozen_det": 0.0, "mmdet": 12.0}
    monkeypatch.setattr(
        benchmark_copy_paste, "_in_process", lambda part, allocator, settings: {"MiB beyond": peaks[settings["arm"]]}
    )
    assert benchmark_copy_paste.run(parsed("--data", scenes, "--parts", "memory", "--allocator", "kept")) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["12", "0", "-"]


def test_each_allocator_setting_reaches_the_measuring_process_and_the_table(scenes, monkeypatch, capsys):
    seen = []

    class Done:
        returncode, stdout = 0, json.dumps([dict(of="x", mmdet=2.0, frozen_det=8.0, times=4.0)])

    def started(command, env, **_):
        seen.append({key: value for key, value in env.items() if key.startswith(("MALLOC_", "OMP_"))})
        return Done()

    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setattr(measurement.subprocess, "run", started)
    assert benchmark_copy_paste.run(parsed("--data", scenes, "--parts", "samples", "jitter")) == 0
    kept = {"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "4294967296"}
    assert seen == [{"OMP_NUM_THREADS": "1"}] * 2 + [kept] * 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["default", "samples"],
        ["default", "jitter"],
        ["kept", "samples"],
        ["kept", "jitter"],
    ]
    assert all(line.split()[-3:] == ["2", "8", "4.00"] for line in lines[1:])


def test_data_without_images_and_senseless_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected images/ and annotations"):
        copy_paste_arms.coco_data(str(tmp_path))
    with pytest.raises(InputError, match="got 0 and 1024"):
        benchmark_copy_paste.run(parsed("--num", "0"))
