"""The labelling benchmark: what the measurements do, the share they allow, and rows with the stated contents."""

import argparse
import json
import math

import pyarrow.parquet as pq
import pytest

from frozen_det.benchmarks import labelling as bench
from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.label_files import part_record, read_vectors
from frozen_det.upstream.noisy_student.selection import select

from ..upstream.image_sets import write_folder


def options(*words):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_label_all_images_between_them(tmp_path, capsys):
    root = write_folder(tmp_path, {"ash": 5, "birch": 4}, size=64)
    bench.run(
        options(
            "--images",
            str(root / "train"),
            "--rows",
            "0",
            "--backbone",
            "resnet10t",
            "--num-images",
            "9",
            "--batch-size",
            "3",
            "--repeats",
            "1",
            "--processes",
            "2",
            "--work-dir",
            str(tmp_path),
            "--json",
        )
    )
    (row,) = json.loads(capsys.readouterr().out)["throughput"]
    assert row["num_processes"] == 2 and row["labelling"] > 0
    best = 1 / (1 / row["decoding"] + 1 / row["forward"])
    assert math.isclose(row["of_best"], row["labelling"] / best, rel_tol=1e-9)


def test_synthetic_rows_are_a_labelled_pool_with_vectors_for_the_stated_share(tmp_path):
    bench.make_labels(tmp_path / "made", num_rows=4000, num_classes=7, rows_per_part=500, vectors_share=0.25)
    records = [part_record(tmp_path / "made", number) for number in range(8)]
    assert [record["num_images"] for record in records] == [500] * 8
    with_vectors = [number for number, record in enumerate(records) if record["num_vectors"]]
    assert with_vectors == [3, 7], "every fourth part"
    for number in with_vectors:
        record = records[number]
        assert record["num_vectors"] == 500 - record["num_undecodable"]
        assert read_vectors(tmp_path / "made", number, 7).shape == (record["num_vectors"], 7)
    found = select(tmp_path / "made", tmp_path / "manifest.parquet", num_classes=7, per_class=100, log=str)
    assert found.num_copies == pytest.approx(700, abs=60), "100 of each class in expectation"


def test_the_selection_is_measured_in_a_process_of_its_own(tmp_path, capsys):
    bench.run(
        options(
            "--rows",
            "3000",
            "--num-classes",
            "5",
            "--per-class",
            "50",
            "--rows-per-part",
            "1000",
            "--vectors-share",
            "0.5",
            "--work-dir",
            str(tmp_path),
        )
    )
    text = capsys.readouterr().out
    assert "selection: 3,000 rows" in text and "vectors for 50% of the parts" in text
    assert not any(tmp_path.iterdir()), "what it made is gone"


def test_top_k_labels_are_made_measured_and_drawn_in_joint_batches(tmp_path, capsys):
    bench.make_labels(tmp_path / "made", 2000, 9, rows_per_part=500, vectors_share=0.0, top_k=3)
    table = pq.read_table(tmp_path / "made" / "part-000002.parquet").to_pylist()
    for row in table:
        if not row["decodes"]:
            assert row["soft_classes"] is row["soft_logits"] is row["soft_rest"] is None
            continue
        classes, logits = row["soft_classes"], row["soft_logits"]
        assert classes == sorted(set(classes)) and len(classes) == len(logits) == 3 and max(classes) < 9
        assert logits[classes.index(row["label"])] == max(logits) == 0
    assert not list((tmp_path / "made").glob("*.logits"))
    words = ["--rows", "3000", "--num-classes", "6", "--per-class", "50", "--rows-per-part", "1000", "--top-k", "2"]
    bench.run(options(*words, "--batch-size", "8", "--work-dir", str(tmp_path), "--json"))
    found = json.loads(capsys.readouterr().out)["selection"]
    assert found["top_k"] == 2 and 0 < found["soft_bytes"] < 20 and found["batch_rows"] > 0
    assert found["batch_mib"] * 2**20 == 32 * (2 * (8 + 4) + 4)  # 8 labelled rows and 24 others
    assert found["batch_whole_mib"] * 2**20 == 32 * 6 * 4


@pytest.mark.parametrize("words, named", [(("--rows", "0"), "--images"), (("--repeats", "0"), "--repeats")])
def test_nothing_to_measure_is_refused(words, named):
    with pytest.raises(InputError, match=named):
        bench.run(options(*words))


def test_reading_compares_files_and_shards_of_one_pool(tmp_path, capsys, monkeypatch):
    root = write_folder(tmp_path, {"ash": 5, "birch": 4}, size=16)
    reading = bench.shard_reading
    monkeypatch.setattr(reading, "_CACHES", tmp_path / "absent" / "drop_caches")  # the system's cache stays

    def here(turns, count, seed, peak):
        return [reading._read(source, decode, count, seed, peak) for source, decode in turns]

    monkeypatch.setattr(reading, "_measured", here)
    words = ["--images", str(root / "train"), "--reading", "40", "--repeats", "2", "--work-dir", str(tmp_path)]
    bench.run(options(*words, "--json"))
    found = json.loads(capsys.readouterr().out)
    assert found["num_images"] == 40 and found["num_read"] == 4 and "posix_fadvise" in found["emptied"]
    for way in ("single files", "shards"):
        assert [len(found[key][way]) for key in ("read", "decoded", "peak_mib")] == [2, 2, 2]
        assert min(found["read"][way]) > 0 and found["cpu_ms"][way] > 0
    bench.run(options(*words))
    assert "shards / single files, with decoding:" in capsys.readouterr().out
    assert not list(tmp_path.glob("reading-*"))
    with pytest.raises(InputError, match="--images with --reading"):
        bench.run(options("--reading", "4"))
