"""The data set over a manifest: copies are samples of their own, labels soft or hard, pixels from files and shards."""

import pickle
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError
from frozen_det.registry import DATASETS
from frozen_det.upstream.noisy_student import manifest as manifest_records
from frozen_det.upstream.noisy_student.joint_batches import JointDataset
from frozen_det.upstream.noisy_student.labelling import label_pool
from frozen_det.upstream.noisy_student.listings.parquet import batches_of
from frozen_det.upstream.noisy_student.manifest import ManifestRecords, mapped_manifest
from frozen_det.upstream.noisy_student.pool import open_pool
from frozen_det.upstream.noisy_student.selection import select
from tests.upstream.label_pools import CROP, NUM_CLASSES, Teacher, read_manifest, write_images, write_parts


@pytest.fixture
def manifest(tmp_path):
    folder = write_images(tmp_path / "pool", 12)
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.add(path, arcname=f"shard-{path.name}")
    pool = open_pool([dict(folder=folder), dict(shards=str(tmp_path / "s.tar"))])
    label_pool(Teacher(), pool, tmp_path / "labels", part_size=5, transform=CROP)
    return select(
        tmp_path / "labels",
        tmp_path / "m.parquet",
        num_classes=NUM_CLASSES,
        per_class=19,
        log=str,
        class_names=["a", "b", "c", "d"],
    ).manifest


def make(manifest, **given):
    return DATASETS.build(dict(type="frozen_det.PseudoLabelled", manifest=str(manifest), **given))


def test_each_copy_is_a_sample_of_its_image_with_its_soft_label(manifest):
    rows = list(read_manifest(manifest, soft=True))
    expected = [row for row in rows for _ in range(row["copies"])]
    dataset = make(manifest)
    assert len(dataset) == len(expected) > len(rows) and dataset.metainfo["classes"] == ("a", "b", "c", "d")
    assert {row["offset"] >= 0 for row in rows} == {True, False}
    for index, row in enumerate(expected):
        sample = dataset[index]
        told = sample["data_samples"]
        assert told["label"] == row["label"] and told["index"] == index and told["path"].startswith(row["path"])
        assert torch.equal(told["soft_labels"], torch.from_numpy(row["soft_labels"]))
        name = told["path"].rsplit("/", 1)[1].replace("shard-", "")
        original = next((manifest.parent / "pool").rglob(name))
        assert np.array_equal(sample["inputs"].permute(1, 2, 0).numpy(), np.asarray(Image.open(original)))


def test_hard_labels_carry_no_vector_in_a_joint_batch_either(manifest):
    hard, soft = make(manifest, labels="hard"), make(manifest)
    assert "soft_labels" not in hard[0]["data_samples"]
    kinds = {"label", "index", "path", "is_pseudo"}
    in_memory = make(manifest, labels="hard", in_memory=True)
    for pseudo, more in ((hard, set()), (in_memory, set()), (soft, {"soft_labels"})):
        batch = JointDataset(soft, pseudo)[len(soft)]["data_samples"]
        assert set(batch) == kinds | more and batch["is_pseudo"].tolist() == [True]
        assert set(JointDataset(soft, pseudo)[0]["data_samples"]) == kinds | more


def test_copies_are_augmented_each_for_itself_and_the_same_again(manifest):
    dataset = make(manifest, transform=dict(type="frozen_det.TrainTransform", size=8))
    paths = [dataset.records.path(index) for index in range(len(dataset))]
    first = next(index for index in range(len(paths) - 1) if paths[index] == paths[index + 1])
    second = first + 1
    views = [dataset[SampleIndex(index, 0, 1)]["inputs"] for index in (first, second, first)]
    assert torch.equal(views[0], views[2]) and not torch.equal(views[0], views[1])


def test_a_batch_from_memory_has_the_samples_of_single_reading(manifest):
    single, whole = make(manifest), make(manifest, in_memory=True)
    for index in (0, 3, 5):
        ours, theirs = single[index], whole[index]
        assert torch.equal(ours["inputs"], theirs["inputs"])
        assert torch.equal(ours["data_samples"]["soft_labels"], theirs["data_samples"]["soft_labels"])
    batch = make(manifest, in_memory=True, transform=dict(type="frozen_det.CifarEval")).__getitems__([0, 3, 5])
    for place, index in enumerate((0, 3, 5)):
        assert torch.equal(batch["inputs"][place], single[index]["inputs"])
        assert torch.equal(batch["data_samples"]["soft_labels"][place], single[index]["data_samples"]["soft_labels"])


def test_records_are_found_across_batches_and_after_pickling(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_records, "_ROWS", 7)
    rng = np.random.default_rng(0)
    parts = write_parts(tmp_path / "labels", rng.integers(0, 4, 90), rng.uniform(0.3, 1, 90), 13)
    found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=60, log=str)
    expected = [row["path"] for row in read_manifest(found.manifest) for _ in range(row["copies"])]
    records = ManifestRecords(found.manifest)
    assert [records.path(index) for index in range(len(records))] == expected and len(records) == found.num_copies
    again = pickle.loads(pickle.dumps(records))
    assert again.path(50) == expected[50] and np.array_equal(again.labels[np.arange(9)], records.labels[np.arange(9)])
    assert records.take(np.array([4, 2])).path(1) == expected[2]


def test_a_manifest_is_mapped_row_group_by_row_group(tmp_path):
    """What is held must not follow the manifest; pyarrow's own iteration keeps all lists of a file."""
    values = np.random.default_rng(0).random(50_000, np.float32)
    group = pa.table(dict(logits=pa.ListArray.from_arrays(np.arange(0, 50_001, 10, np.int32), values)))
    with pq.ParquetWriter(tmp_path / "m.parquet", group.schema) as writer:
        for _ in range(40):
            writer.write_table(group)
    del group
    base, held, rows = pa.total_allocated_bytes(), 0, 0
    with pq.ParquetFile(tmp_path / "m.parquet") as file:
        for batch in batches_of(file, 4096):
            held, rows = max(held, pa.total_allocated_bytes() - base), rows + len(batch)
    assert rows == 40 * 5000 and held < 8 * values.nbytes


def test_the_mapped_file_follows_its_manifest(tmp_path):
    parts = write_parts(tmp_path / "labels", [0, 1, 2], [0.9, 0.9, 0.5])
    ask = dict(num_classes=NUM_CLASSES, per_class=1, log=str)
    first = mapped_manifest(select(parts, tmp_path / "m.parquet", **ask).manifest)
    stamp = first.stat().st_mtime_ns
    assert mapped_manifest(tmp_path / "m.parquet").stat().st_mtime_ns == stamp
    select(parts, tmp_path / "m.parquet", **ask, min_confidence=0.7)
    assert len(ManifestRecords(tmp_path / "m.parquet")) == 2


def test_what_does_not_fit_is_refused(manifest, tmp_path):
    with pytest.raises(InputError, match="dataset.labels"):
        make(manifest, labels="both")
    with pytest.raises(InputError, match="temperature above 0"):
        make(manifest, temperature=0)
    with pytest.raises(InputError, match="expected a manifest"):
        make(tmp_path / "absent.parquet")
    for path in (tmp_path / "pool").rglob("*.png"):
        path.write_bytes(b"gone bad")
    with pytest.raises(InputError, match="readable image"):
        make(manifest)[0]
