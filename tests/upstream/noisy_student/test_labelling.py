"""Labelling: equal files from any number of processes; whole parts survive a kill; broken images are named."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.registry import MODELS
from frozen_det.upstream.noisy_student.label_files import part_record, read_vectors, rows_path, vectors_path
from frozen_det.upstream.noisy_student.labelling import finish_labels, label_pool, load_teacher, own_transform
from frozen_det.upstream.noisy_student.pool import content_hash, open_pool
from frozen_det.weights.atomic_write import partial_path
from frozen_det.weights.feature_store import FeatureStore
from tests.upstream.label_pools import CROP, NUM_CLASSES, Teacher, write_images

CROP_CONFIG = dict(type="frozen_det.EvalTransform", size=32, crop_ratio=1.0)
SETTINGS = dict(part_size=6, batch_size=4, transform=CROP)


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("part-*.logits")} | {
        path.name: pq.read_table(path).to_pylist() for path in Path(folder).glob("part-*.parquet")
    }


@pytest.fixture
def pool(tmp_path):
    folder = write_images(tmp_path / "pool", 20)
    (folder / "00" / "0004.png").write_bytes(b"no image at all")
    whole = (folder / "01" / "0007.png").read_bytes()
    (folder / "01" / "0007.png").write_bytes(whole[: len(whole) // 2])
    return open_pool(dict(folder=folder))


def test_rows_hold_what_the_teacher_says_without_noise(pool, tmp_path):
    teacher = Teacher().train()
    summary = label_pool(teacher, pool, tmp_path / "out", **SETTINGS)
    assert (summary.num_parts, summary.num_skipped, summary.num_images, summary.num_undecodable) == (4, 0, 20, 2)
    assert not teacher.training and all(parameter.grad is None for parameter in teacher.parameters())
    rows = [row for number in range(4) for row in pq.read_table(rows_path(tmp_path / "out", number)).to_pylist()]
    for row in rows:
        assert row["content_hash"] == content_hash(Path(row["path"]).read_bytes())
        if not row["decodes"]:
            assert row["label"] == row["vector"] == -1 and row["confidence"] == 0 and "Error" in row["error"]
            continue
        pixels = CROP(Image.open(row["path"]).convert("RGB"))[None].float() / 255
        expected = torch.nn.functional.linear(pixels.mean((2, 3)), teacher.fc.weight, teacher.fc.bias)[0].detach()
        assert row["label"] == int(expected.argmax())
        assert row["confidence"] == pytest.approx(float(expected.softmax(0).max()), abs=1e-5)
        vector = read_vectors(tmp_path / "out", row["part"], NUM_CLASSES)[row["vector"]]
        assert vector.dtype == np.float16 and vector.max() == 0
        assert np.allclose(vector, (expected - expected.max()).numpy(), atol=4e-3)


def test_a_noised_teacher_drops_and_its_draws_follow_from_the_images(pool, tmp_path):
    for name, batch_size in (("out", 4), ("again", 4)):
        label_pool(Teacher(), pool, tmp_path / name, **{**SETTINGS, "batch_size": batch_size}, noise=True)
    label_pool(Teacher(), pool, tmp_path / "plain", **SETTINGS)
    assert contents(tmp_path / "out") == contents(tmp_path / "again") != contents(tmp_path / "plain")
    # Half of three colours: each logit has its bias alone or twice its share, as dropout at 0.5 has it.
    plain, noised = (
        [read_vectors(tmp_path / name, 0, NUM_CLASSES)[row] for row in range(3)] for name in ("plain", "out")
    )
    assert not any(np.allclose(one, other, atol=4e-3) for one, other in zip(plain, noised))


def test_a_noised_teacher_labels_again_with_another_batch_size_and_one_without_noise_does_not(pool, tmp_path):
    for noise, kept in ((True, 0), (False, 4)):
        for batch_size, expected in ((4, 0), (3, kept), (3, 4)):
            settings = {**SETTINGS, "batch_size": batch_size, "part_size": 5}
            summary = label_pool(Teacher(), pool, tmp_path / str(noise), **settings, noise=noise)
            assert (summary.num_parts, summary.num_skipped) == (4, expected)


def test_images_that_do_not_decode_are_counted_and_listed_by_name(pool, tmp_path):
    label_pool(Teacher(), pool, tmp_path / "out", **SETTINGS)
    summary = finish_labels(tmp_path / "out")
    assert summary["num_images"] == 20 and summary["num_undecodable"] == 2 and summary["num_vectors"] == 18
    listed = (tmp_path / "out" / "undecodable.txt").read_text().splitlines()
    assert len(listed) == 2 and "0004.png" in listed[0] and "UnidentifiedImageError" in listed[0]
    assert "0007.png" in listed[1]


@pytest.mark.parametrize(("world_size", "num_workers"), [(2, 0), (3, 0), (1, 2)])
def test_files_are_the_same_under_any_number_of_ranks_and_workers(pool, tmp_path, world_size, num_workers):
    label_pool(Teacher(), pool, tmp_path / "one", **SETTINGS)
    for rank in reversed(range(world_size)):
        label_pool(
            Teacher(), pool, tmp_path / "many", rank=rank, world_size=world_size, num_workers=num_workers, **SETTINGS
        )
    assert finish_labels(tmp_path / "many") == finish_labels(tmp_path / "one")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_labels_are_not_finished_before_the_last_rank(pool, tmp_path):
    label_pool(Teacher(), pool, tmp_path / "out", rank=0, world_size=2, **SETTINGS)
    assert not (tmp_path / "out" / "labels.json").exists()
    with pytest.raises(InputError, match="4 whole parts in .*, got 2"):
        finish_labels(tmp_path / "out")


def test_whole_parts_are_skipped_and_others_made_again(pool, tmp_path):
    out = tmp_path / "out"
    label_pool(Teacher(), pool, out, **SETTINGS)
    before = contents(out)
    rows_path(out, 1).unlink()
    vectors_path(out, 2).write_bytes(b"cut off")
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = partial_path(rows_path(out, 1))
    left.with_name(left.name.replace(f"_{os.getpid()}_", f"_{ended.pid}_")).write_bytes(b"left behind")
    again = label_pool(Teacher(), pool, out, **SETTINGS)
    assert again.num_skipped == 2 and contents(out) == before
    assert not list(out.glob(".*partial*"))


def test_other_weights_files_or_settings_label_again_exactly_what_depends_on_them(pool, tmp_path):
    out = tmp_path / "out"
    label_pool(Teacher(), pool, out, **SETTINGS)
    image = Path(pq.read_table(rows_path(out, 3)).to_pylist()[0]["path"])
    image.write_bytes(image.read_bytes() + b"\0")
    assert label_pool(Teacher(), pool, out, **SETTINGS).num_skipped == 4  # a start looks at no image
    assert label_pool(Teacher(), pool, out, **SETTINGS, list_again=True).num_skipped == 3
    teacher = Teacher()
    teacher.fc.bias.data[0] += 1
    assert label_pool(teacher, pool, out, **SETTINGS).num_skipped == 0
    assert label_pool(teacher, pool, out, **SETTINGS | dict(batch_size=3, num_workers=1)).num_skipped == 4
    assert label_pool(teacher, pool, out, **SETTINGS, min_vector_confidence=0.9).num_skipped == 0


def test_parts_of_a_pool_that_shrank_are_taken_away(pool, tmp_path):
    out = tmp_path / "out"
    label_pool(Teacher(), pool, out, **SETTINGS)
    label_pool(Teacher(), pool, out, **SETTINGS | dict(part_size=20))
    assert sorted(path.name for path in out.glob("part-*")) == ["part-000000.logits", "part-000000.parquet"]


def test_vectors_are_kept_from_a_confidence_on(pool, tmp_path):
    out = tmp_path / "out"
    label_pool(Teacher(), pool, out, **SETTINGS, min_vector_confidence=0.8)
    rows = [row for number in range(4) for row in pq.read_table(rows_path(out, number)).to_pylist()]
    assert {row["vector"] >= 0 for row in rows if row["confidence"] >= 0.8} == {True}
    assert {row["vector"] for row in rows if row["confidence"] < 0.8} == {-1}
    for number in range(4):
        kept = sum(row["vector"] >= 0 for row in rows if row["part"] == number)
        assert len(read_vectors(out, number, NUM_CLASSES)) == kept == part_record(out, number)["num_vectors"]


@pytest.mark.slow
def test_a_killed_labelling_goes_on_and_ends_as_an_uninterrupted_one(pool, tmp_path):
    code = (
        "import sys, time; from tests.upstream import label_pools as made\n"
        "from frozen_det.upstream.noisy_student import labelling\n"
        "from frozen_det.upstream.noisy_student.pool import open_pool\n"
        "passes, logits = [], labelling.logits_of\n"
        "def slow(*given):\n"
        "    passes.append(1); print(len(passes), flush=True)\n"
        "    time.sleep(60 * (len(passes) == 4)); return logits(*given)\n"
        "labelling.logits_of = slow\n"
        "labelling.label_pool(made.Teacher(), open_pool(dict(folder=sys.argv[1])), sys.argv[2], part_size=6,\n"
        "                     batch_size=4, transform=made.CROP)"
    )
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "pool"), str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if line.strip() == "4":
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in out.glob("part-*.parquet"))
    assert left and len(left) < 4 and all(part_record(out, int(name[5:11])) for name in left)
    summary = label_pool(Teacher(), pool, out, **SETTINGS)
    label_pool(Teacher(), pool, tmp_path / "whole", **SETTINGS)
    assert summary.num_skipped == len(left) and contents(out) == contents(tmp_path / "whole")
    assert (out / "labels.json").read_bytes() == (tmp_path / "whole" / "labels.json").read_bytes()
    assert not list(out.glob(".*partial*"))


def test_an_error_on_the_way_leaves_no_part_that_looks_whole(pool, tmp_path):
    teacher = Teacher()
    teacher.fc.bias.data[0] = float("nan")
    with pytest.raises(InputError, match="finite logits"):
        label_pool(teacher, pool, tmp_path / "out", **SETTINGS)
    assert not list((tmp_path / "out").glob("*part-*"))


def test_a_part_of_broken_images_alone_has_rows_and_no_vectors(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jpg").write_bytes(b"")
    label_pool(Teacher(), open_pool(dict(folder=tmp_path / "pool")), tmp_path / "out", **SETTINGS)
    assert part_record(tmp_path / "out", 0) == {
        **part_record(tmp_path / "out", 0),
        "num_images": 1,
        "num_undecodable": 1,
        "num_vectors": 0,
    }


def test_the_teacher_is_the_averaged_one_in_eval_mode_at_its_own_resolution(tmp_path):
    model = dict(type="frozen_det.ImageClassifier", backbone=dict(type="timm", name="test_resnet"), num_classes=4)
    raw, average = MODELS.build(model), MODELS.build(model)
    transform = dict(type="frozen_det.EvalTransform", size=48, crop_ratio=1.0)
    config = dict(model=model, test_dataloader=dict(dataset=dict(transform=transform)))
    torch.save(
        {"state_dict": average.state_dict(), "ema_state_dict": raw.state_dict(), "meta": {"mmengine_version": "0.10"}},
        tmp_path / "mmengine.pth",
    )
    torch.save({"state_dict": raw.state_dict(), "state_dict_ema": average.state_dict()}, tmp_path / "timm.pth")
    for name in ("mmengine.pth", "timm.pth"):
        teacher, crop = load_teacher(config, tmp_path / name, "cpu")
        assert all(torch.equal(value, average.state_dict()[key]) for key, value in teacher.state_dict().items())
        assert not teacher.training and not any(value.requires_grad for value in teacher.parameters())
        assert crop.size == 48
    known = own_transform(raw)
    assert known.size == raw._preprocess.input_size
    with pytest.raises(InputError, match="own resolution"):
        own_transform(Teacher())


@pytest.mark.parametrize(
    ("model", "head"),
    [
        (dict(type="frozen_det.ImageClassifier", backbone=dict(type="timm", name="test_resnet")), "fc"),
        (
            dict(
                type="frozen_det.NoisyClassifier",  # its noise is hooks, which act in training alone
                backbone=dict(type="frozen_det.CifarResNet", depth=8),
                noise=dict(dropout=0.2, stochastic_depth=0.2, branches="layer*.*.bn2"),
            ),
            "linear",
        ),
    ],
    ids=["plain", "noisy"],
)
def test_another_head_on_a_teachers_body_labels_from_its_features_as_if_it_had_computed_them(
    pool, tmp_path, model, head
):
    model = dict(model, num_classes=4)
    config = dict(model=model, test_dataloader=dict(dataset=dict(transform=CROP_CONFIG)))
    teacher = MODELS.build(model)
    torch.save(teacher.state_dict(), tmp_path / "first.pth")
    torch.nn.init.normal_(teacher.network.get_submodule(head).weight)
    torch.save(teacher.state_dict(), tmp_path / "second.pth")
    store = FeatureStore(tmp_path / "features")
    for number, name in enumerate(("first", "second")):
        for features in (None, store):
            one, crop = load_teacher(config, tmp_path / f"{name}.pth", "cpu", features)
            folder = tmp_path / f"{name}-{features is None}"
            label_pool(one, pool, folder, part_size=6, batch_size=4, transform=crop, num_workers=0)
        assert contents(tmp_path / f"{name}-True") == contents(tmp_path / f"{name}-False")
        assert (store.num_written, store.num_read) == (18, 18 * number)
    assert contents(tmp_path / "first-True") != contents(tmp_path / "second-True")


@pytest.mark.parametrize("wrong", [dict(batch_size=0), dict(rank=2, world_size=2), dict(min_vector_confidence=2)])
def test_bad_arguments_are_refused(pool, tmp_path, wrong):
    with pytest.raises(InputError, match="expected batch_size"):
        label_pool(Teacher(), pool, tmp_path / "out", **SETTINGS | wrong)


@pytest.mark.parametrize("name", ["part-00000-3f.c000.snappy.parquet", "part-000000.parquet", "part-000099.parquet"])
def test_parquet_files_of_others_are_neither_taken_nor_removed(pool, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"theirs")
    with pytest.raises(InputError, match=f"got {name} of something else"):
        label_pool(Teacher(), pool, out, part_size=4, transform=CROP)
    assert (out / name).read_bytes() == b"theirs" and not list(out.glob("*.json"))


def test_a_hidden_file_of_others_is_no_leftover(pool, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".part-x.partial.parquet").write_bytes(b"theirs")
    label_pool(Teacher(), pool, out, part_size=4, transform=CROP)
    assert (out / ".part-x.partial.parquet").read_bytes() == b"theirs"


def test_a_process_that_finds_parts_missing_leaves_what_the_last_one_finished_meanwhile(pool, tmp_path, monkeypatch):
    from frozen_det.upstream.noisy_student import labelling

    out, look = tmp_path / "out", labelling.part_record
    label_pool(Teacher(), pool, out, part_size=4, transform=CROP)
    whole, away = rows_path(out, 0), tmp_path / "away"
    whole.rename(away)

    def overtaken(folder, number):
        found = look(folder, number)
        if away.exists():  # the last part and all of the last process's end, behind the back of the first look
            away.rename(whole)
            finish_labels(out)
        return found

    monkeypatch.setattr(labelling, "part_record", overtaken)
    with pytest.raises(labelling.UnfinishedError, match="missing"):
        finish_labels(out)
    assert (out / "labels.json").exists()


def test_a_full_disk_is_told_with_the_file_whenever_a_part_is_written(tmp_path, monkeypatch):
    import errno

    import pyarrow.parquet

    from frozen_det.errors import StorageError
    from frozen_det.upstream.noisy_student.label_files import PartWriter

    def full(*given, **named):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    for name in ("__init__", "close"):
        monkeypatch.setattr(pyarrow.parquet.ParquetWriter, name, full)
        told = pytest.raises(StorageError, match=r"part-000003\.parquet: No space left")
        with told, PartWriter(tmp_path, 3, 2, "inputs"):
            pass
        assert list(tmp_path.iterdir()) == []
        monkeypatch.undo()
