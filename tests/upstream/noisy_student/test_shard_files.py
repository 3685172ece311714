"""Shards of pseudo-labelled images: what is in them, who can read them, how they are resumed and read."""

import io
import json
import pickle
import re
import tarfile
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError
from frozen_det.registry import DATASETS
from frozen_det.upstream.datasets import collate_images
from frozen_det.upstream.noisy_student import shard_files
from frozen_det.upstream.noisy_student.joint_batches import JointDataset, JointSampler, joint_batch_size
from frozen_det.upstream.noisy_student.labelling import label_pool
from frozen_det.upstream.noisy_student.manifest import ManifestRecords
from frozen_det.upstream.noisy_student.pool import open_pool
from frozen_det.upstream.noisy_student.selection import select
from frozen_det.upstream.noisy_student.shard_files import ShardedRecords, write_shards
from tests.upstream.label_pools import CROP, NUM_CLASSES, Teacher, write_images

SIZE = 7
NAMES = ["a", "b", "c", "d"]


def selected(root, top_k=None):
    """A manifest of 20 files and 20 members of a shard; images of small classes come several times."""
    folder = write_images(root / "pool", 20)
    write_images(root / "more", 20, seed=1)
    with tarfile.open(root / "s.tar", "w") as archive:
        for path in sorted((root / "more").rglob("*.png")):
            archive.add(path, arcname=f"in/{path.name}")
    pool = open_pool([dict(folder=folder), dict(shards=str(root / "s.tar"))])
    label_pool(Teacher(), pool, root / "labels", part_size=9, transform=CROP, top_k=top_k)
    ask = dict(num_classes=NUM_CLASSES, per_class=19, min_confidence=0.0, log=str, class_names=NAMES)
    return select(root / "labels", root / "m.parquet", **ask).manifest


@pytest.fixture(scope="module", params=[None, 2], ids=["whole vectors", "top 2"])
def manifest(request, tmp_path_factory):
    return selected(tmp_path_factory.mktemp("selected"), request.param)


@pytest.fixture
def shards(manifest, tmp_path):
    assert write_shards(manifest, tmp_path / "shards", size=SIZE, seed=3) == (
        -(-len(ManifestRecords(manifest)) // SIZE),
        0,
    )
    return tmp_path / "shards" / "shards.json"


def make(source, **given):
    return DATASETS.build(dict(type="frozen_det.PseudoLabelled", manifest=str(source), **given))


def test_shards_have_the_copies_of_the_manifest_in_one_shuffled_order(manifest, shards):
    single, sharded = make(manifest), make(shards)
    order = np.random.default_rng(3).permutation(len(single))
    assert len(sharded) == len(single) and sharded.metainfo == single.metainfo and sharded.top_k == single.top_k
    assert max(Counter(single.records.path(index) for index in range(len(single))).values()) > 1
    for place, copy in enumerate(order.tolist()):
        ours, theirs = sharded[place], single[copy]
        assert torch.equal(ours["inputs"], theirs["inputs"])
        told, wanted = ours["data_samples"], theirs["data_samples"]
        assert told["label"] == wanted["label"] and f"shard-{place // SIZE:06d}.tar/{place:09d}.png" in told["path"]
        for key in wanted.keys() - {"path", "index"}:
            assert np.array_equal(told[key], wanted[key]), key
        assert torch.equal(make_soft(sharded, place, 2.5), make_soft(single, copy, 2.5))


def make_soft(dataset, index, temperature):
    return torch.from_numpy(dataset.records.soft_label(index, temperature))


def test_members_are_those_of_webdataset_with_the_images_own_bytes(manifest, shards):
    records, order = ManifestRecords(manifest), np.random.default_rng(3).permutation(len(ManifestRecords(manifest)))
    place = 0
    for path in sorted(shards.parent.glob("*.tar")):
        with tarfile.open(path) as archive:
            members = archive.getmembers()
            content = {one.name: archive.extractfile(one).read() for one in members}
        assert all(one.isfile() and one.mtime == 0 for one in members)
        keys = list(dict.fromkeys(name.partition(".")[0] for name in content))
        assert [name.partition(".")[0] for name in content] == sorted(name.partition(".")[0] for name in content)
        for key in keys:  # members of a key are next to each other
            copy = int(order[place])
            told = json.loads(content[f"{key}.json"])
            assert content[f"{key}.png"] == records.content(copy)
            assert (told["label"], told["name"], told["image"]) == (
                records.label(copy),
                NAMES[records.label(copy)],
                records.path(copy),
            )
            if records.top_k is None:
                assert np.array_equal(np.load(io.BytesIO(content[f"{key}.npy"])), records.vector(copy))
            else:
                given = [np.asarray(told[name], np.float64) for name in ("soft_classes", "soft_logits", "soft_rest")]
                assert all(np.array_equal(one, np.asarray(other)) for one, other in zip(given, records.top(copy)))
            place += 1
    assert place == len(records)


def test_shards_of_hard_labels_are_without_vectors(manifest, tmp_path):
    write_shards(manifest, tmp_path, size=SIZE, soft=False)
    with tarfile.open(tmp_path / "shard-000000.tar") as archive:
        assert {name.partition(".")[2] for name in archive.getnames()} == {"png", "json"}
    hard = make(tmp_path / "shards.json", labels="hard")
    assert set(hard[4]["data_samples"]) == {"label", "index", "path"} and hard.top_k is None
    with pytest.raises(InputError, match="shards with soft labels, got .* with hard ones alone"):
        make(tmp_path / "shards.json")


def test_whole_shards_stay_and_the_bytes_are_the_same_again(manifest, tmp_path, monkeypatch):
    write_shards(manifest, tmp_path / "whole", size=SIZE)
    given, written = shard_files._write_copy, []

    def dies(*args):
        written.append(1)
        if len(written) == 3 * SIZE + 4:
            raise KeyboardInterrupt
        return given(*args)

    with monkeypatch.context() as patched:
        patched.setattr(shard_files, "_write_copy", dies)
        with pytest.raises(KeyboardInterrupt):
            write_shards(manifest, tmp_path / "killed", size=SIZE)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(
        f"shard-{number:06d}.{kind}" for number in range(3) for kind in ("tar", "arrow")
    )
    (tmp_path / "killed" / "shard-000001.arrow").unlink()  # as if killed between the two
    with open(tmp_path / "killed" / "shard-000002.tar", "ab") as file:
        file.write(b"longer")
    again, write = [], shard_files._write_shard
    monkeypatch.setattr(shard_files, "_write_shard", lambda *args: again.append(args[2]) or write(*args))
    number, there = write_shards(manifest, tmp_path / "killed", size=SIZE)
    assert there == 1 and again == list(range(1, number))
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes()


def test_other_settings_write_all_of_them_again_and_leave_nothing_of_before(manifest, shards):
    before = {path.name for path in shards.parent.iterdir()}
    number, there = write_shards(manifest, shards.parent, size=2 * SIZE, seed=3)
    assert there == 0 and {path.name for path in shards.parent.iterdir()} < before
    assert len(list(shards.parent.glob("*.tar"))) == number
    assert write_shards(manifest, shards.parent, size=2 * SIZE, seed=3) == (number, number)
    assert write_shards(manifest, shards.parent, size=2 * SIZE, seed=4) == (number, 0)


def test_ranks_write_shards_of_their_own_that_equal_those_of_one(manifest, tmp_path, monkeypatch):
    write_shards(manifest, tmp_path / "one", size=SIZE)
    finish = shard_files._finish
    monkeypatch.setattr(shard_files, "_finish", lambda *args: None)
    for rank in (1, 0):
        monkeypatch.setattr(shard_files, "get_dist_info", lambda rank=rank: (rank, 2))
        if rank == 0:
            monkeypatch.setattr(shard_files, "_finish", finish)
            numbers = {int(path.stem[6:]) % 2 for path in (tmp_path / "two").glob("*.tar")}
            assert numbers == {1}
        write_shards(manifest, tmp_path / "two", size=SIZE)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def joint(shards, **given):
    return JointDataset(make(shards), make(shards, window=2, **given), epochs=10)


def batches(dataset, epoch=0, skip=0, num_workers=0):
    sampler = JointSampler(dataset, 4, 3, seed=5)
    sampler.set_epoch(epoch)
    sampler.skip(skip * joint_batch_size(4, 3))
    loader = DataLoader(
        dataset, joint_batch_size(4, 3), sampler=sampler, collate_fn=collate_images, num_workers=num_workers
    )
    return list(loader)


def same(one, other):
    assert len(one) == len(other)
    for ours, theirs in zip(one, other):
        assert torch.equal(ours["inputs"], theirs["inputs"])
        assert ours["data_samples"].keys() == theirs["data_samples"].keys()
        for key, value in ours["data_samples"].items():
            assert (
                value == theirs["data_samples"][key]
                if key == "path"
                else torch.equal(value, theirs["data_samples"][key])
            )


def test_batches_from_a_point_within_an_epoch_are_those_of_the_whole_one(shards):
    crop = dict(type="frozen_det.TrainTransform", size=8)
    dataset = joint(shards, transform=crop)
    whole = batches(dataset, epoch=1)
    same(batches(dataset, epoch=1, skip=5), whole[5:])
    same(batches(pickle.loads(pickle.dumps(dataset)), epoch=1, num_workers=2), whole)
    assert not torch.equal(batches(dataset, epoch=2)[0]["inputs"], whole[0]["inputs"])


def test_a_pass_shows_every_copy_and_two_shards_at_a_time(shards, monkeypatch):
    dataset = joint(shards)
    sampler = JointSampler(dataset, 4, 3, seed=5)
    pseudo = [int(i) - len(dataset.labelled) for i in sampler if int(i) >= len(dataset.labelled)]
    size = len(dataset.pseudo)
    assert sorted(pseudo[:size]) == list(range(size)) and len(pseudo) > size
    for begin in range(0, size - 2 * SIZE, 2 * SIZE):
        read = {index // SIZE for index in pseudo[begin : begin + 2 * SIZE]}
        assert len(read) <= 3  # two; with the short last one of all a window ends earlier
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, 2))
        shares.append([int(i) for i in JointSampler(dataset, 2, 3, seed=5)])
    assert sorted(shares[0] + shares[1]) == sorted(int(i) for i in sampler)


def test_skipping_epochs_moves_on_their_number(shards):
    dataset = joint(shards)
    steady, skipped = JointSampler(dataset, 4, 3, seed=5), JointSampler(dataset, 4, 3, seed=5)
    skipped.skip(2 * len(steady) + 16)
    for epoch in (2, 3):
        steady.set_epoch(epoch)
        wanted = [(int(i), i.seed, i.epoch) for i in steady]
        if epoch == 3:
            skipped.set_epoch(1)  # the host's loop counts from where it began
        assert [(int(i), i.seed, i.epoch) for i in skipped] == wanted[16 if epoch == 2 else 0 :]


def test_images_in_memory_and_copies_of_a_share_are_the_same(shards):
    single, whole = make(shards), make(shards, in_memory=True)
    assert torch.equal(single[9]["inputs"], whole[9]["inputs"]) and whole.pass_order(0) is None
    taken = ShardedRecords(shards).take(np.array([9, 2]))
    assert taken.path(0) == single.records.path(9) and taken.labels[1] == single.records.labels[2]


def test_copies_are_augmented_each_for_itself(shards):
    dataset = make(shards, transform=dict(type="frozen_det.TrainTransform", size=8))
    with tarfile.open(shards.parent / "shard-000000.tar") as archive:
        told = [json.load(archive.extractfile(one)) for one in archive.getmembers() if one.name.endswith(".json")]
    assert len(told) == SIZE
    views = [dataset[SampleIndex(5, seed, 0)]["inputs"] for seed in (0, 1, 0)]
    assert torch.equal(views[0], views[2]) and not torch.equal(views[0], views[1])


def test_what_does_not_fit_is_refused(manifest, shards, tmp_path):
    with pytest.raises(InputError, match=r"shards\.size"):
        write_shards(manifest, tmp_path / "x", size=0)
    with pytest.raises(InputError, match=r"dataset\.window"):
        make(shards, window=0)
    with pytest.raises(InputError, match=r"shards that are whole, got .*shards\.json"):
        make(tmp_path / "absent" / "shards.json")


def last_byte(shards, kind):
    """Offset of the last byte of the second image or vector of the second shard."""
    with tarfile.open(shards.parent / "shard-000001.tar") as archive:
        member = [one for one in archive.getmembers() if one.name.endswith(kind)][1]
    return member.offset_data + member.size - 1


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def answers(shards, **given):
    """What reading each copy of the second shard gives: None, or the message."""
    dataset, found = make(shards, **given), []
    for place in range(SIZE, 2 * SIZE):
        try:
            dataset[place]
            found.append(None)
        except InputError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("on_broken", ["error", "skip"])
@pytest.mark.parametrize(
    "damage, got",
    {
        "the shard is gone": (lambda tar, index: tar.unlink(), r"\[Errno 2\]"),
        "the index is gone": (lambda tar, index: index.unlink(), r"\[Errno 2\] .*shard-000001\.arrow"),
        "cut by a byte": (lambda tar, index: tar.write_bytes(tar.read_bytes()[:-1]), r"\d+ of \d+ bytes"),
        "a device": (lambda tar, index: (tar.unlink(), tar.symlink_to("/dev/zero")), r"0 of \d+ bytes"),
        "an empty index": (lambda tar, index: index.write_bytes(b""), r"shard-000001\.arrow: it is damaged"),
        "a bit of the index": (lambda tar, index: flip(index, 436), r"shard-000001\.arrow: it is damaged"),
        "the next shard": (
            lambda tar, index: [one.write_bytes(one.with_stem("shard-000002").read_bytes()) for one in (tar, index)],
            "a shard of another selection",
        ),
    }.values(),
)
def test_no_copy_of_a_shard_that_is_not_the_one_written_is_read(shards, damage, got, on_broken):
    damage(*shard_files.shard_files(shards.parent, 1))
    found = answers(shards, on_broken=on_broken)
    assert None not in found and len({*found}) == 1
    match = rf"expected the shard \S*/shard-000001\.tar and its index as they were written, got .*{got}.*; remove both"
    assert re.search(match, found[0])
    assert make(shards)[2 * SIZE]["inputs"].shape == (3, 8, 8)


def test_other_bytes_of_the_same_number_are_refused_where_they_are_read(shards):
    tar = shards.parent / "shard-000001.tar"
    for kind in ("png", *(["npy"] if make(shards).top_k is None else [])):
        at = last_byte(shards, kind)
        flip(tar, at)
        found = answers(shards)
        assert [place for place, one in enumerate(found) if one] == [1]
        assert f"{tar} and its index as they were written, got others for 000000008.png; remove both" in found[1]
        flip(tar, at)
    assert answers(shards) == [None] * SIZE


def test_shards_of_another_selection_are_refused(manifest, shards, tmp_path):
    write_shards(manifest, tmp_path / "other", size=SIZE, seed=4)
    shards.write_bytes((tmp_path / "other" / "shards.json").read_bytes())
    with pytest.raises(InputError, match=r"shard-000000\.tar .* got a shard of another selection"):
        make(shards)[0]


def test_a_damaged_index_is_written_again(manifest, shards):
    index = shards.parent / "shard-000001.arrow"
    whole = index.read_bytes()
    shards.unlink()
    flip(index, 436)  # Arrow ends the process on this one
    assert write_shards(manifest, shards.parent, size=SIZE, seed=3)[1] == len(list(shards.parent.glob("*.tar"))) - 1
    assert index.read_bytes() == whole


@pytest.mark.parametrize(
    "change, got",
    [
        (dict(size=0), "its size cannot be"),
        (dict(num_images="7"), "its num_images cannot be"),
        (dict(made=None), "its made cannot be"),
        (dict(num_shards=99), r"images by 7 are not 99 shards"),
        (dict(classes=["a"]), "4 classes with 1 names"),
    ],
)
def test_a_record_of_shards_that_cannot_be_is_refused(shards, change, got):
    shards.write_text(json.dumps({**json.loads(shards.read_text()), **change}))
    with pytest.raises(InputError, match=rf"shards that are whole, got '\S*shards\.json' \(manifest\): .*{got}"):
        make(shards)


def test_what_the_members_of_a_shard_are_called_is_never_gone_by(shards):
    wanted = make(shards)[8]
    tar = shards.parent / "shard-000001.tar"
    content = tar.read_bytes()
    for name in (b"../../x08", b"/etc/pass"):
        tar.write_bytes(content.replace(b"000000008", name))
        found = make(shards)[8]
        assert torch.equal(found["inputs"], wanted["inputs"])
        assert found["data_samples"]["path"] == f"{tar}/000000008.png"


def test_an_image_that_is_gone_is_named(tmp_path):
    manifest = selected(tmp_path)
    for path in (tmp_path / "pool").rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"the image .*pool/0.*\.png, which was labelled, got none"):
        write_shards(manifest, tmp_path / "shards", size=SIZE)
