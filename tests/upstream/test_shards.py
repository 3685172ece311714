"""Tar shards: the pixels of their members, an order by seed and rank that opens few shards at a time."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from frozen_det.errors import InputError
from frozen_det.registry import DATASETS
from frozen_det.upstream.datasets import collate_images
from frozen_det.upstream.shards import ImageShards, ShardSampler

NUM_SHARDS, PER_SHARD = 6, 5


def member(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def png(number):
    buffer = io.BytesIO()
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path):
    for shard in range(NUM_SHARDS):
        with tarfile.open(tmp_path / f"train-{shard:03d}.tar", "w") as archive:
            for place in range(PER_SHARD):
                number = shard * PER_SHARD + place
                member(archive, f"{number:05d}.png", png(number))
                member(archive, f"{number:05d}.json", b"{}")
                member(archive, f"{number:05d}.cls", str(number % 3).encode())
    return tmp_path


def make(root, **given):
    given = {"shards": "train-{000..005}.tar", "num_classes": 3, **given}
    return DATASETS.build(dict(type="frozen_det.ImageShards", data_root=str(root), **given))


def batches(dataset, num_workers=0, epoch=0):
    sampler = ShardSampler(dataset, window=2, seed=0)
    sampler.set_epoch(epoch)
    return list(DataLoader(dataset, batch_size=7, sampler=sampler, collate_fn=collate_images, num_workers=num_workers))


def test_shards_give_the_pixels_and_labels_of_their_members(root):
    dataset = make(root)
    assert len(dataset) == 30
    sample = dataset[13]
    assert sample["data_samples"] == dict(label=1, path=str(root / "train-002.tar" / "00013.png"), index=13)
    expected = np.asarray(Image.open(io.BytesIO(png(13)))).transpose(2, 0, 1)
    assert np.array_equal(sample["inputs"].numpy(), expected)


def test_a_pattern_a_range_and_a_list_name_the_same_shards(root):
    names = [f"train-{shard:03d}.tar" for shard in range(NUM_SHARDS)]
    found = [make(root, shards=one).records.shards for one in ("train-{000..005}.tar", "*.tar", names)]
    assert found[0] == found[1] == found[2] == tuple(str(root / name) for name in names)


def test_batches_do_not_depend_on_the_workers_and_change_with_the_epoch(root):
    transform = dict(type="frozen_det.CifarTrain", padding=2)
    alone, others = batches(make(root, transform=transform)), batches(make(root, transform=transform), num_workers=2)
    assert all(torch.equal(one["inputs"], other["inputs"]) for one, other in zip(alone, others)) and len(others) == 5
    later = batches(make(root, transform=transform), epoch=1)
    assert alone[0]["data_samples"]["path"] != later[0]["data_samples"]["path"]


def test_an_epoch_shows_each_image_once_and_few_shards_at_a_time(root):
    dataset = make(root)
    order = list(ShardSampler(dataset, window=2, seed=3))
    assert sorted(order) == list(range(30))
    for start in range(0, 30, 10):
        assert len({index // PER_SHARD for index in order[start : start + 10]}) == 2
    assert list(ShardSampler(dataset, shuffle=False, seed=3)) == list(range(30))
    assert order == list(ShardSampler(dataset, window=2, seed=3)) != list(ShardSampler(dataset, window=2, seed=4))


def test_ranks_share_the_epoch_without_loss_and_read_shards_of_their_own(root, monkeypatch):
    dataset = make(root)
    ranks = []
    for rank in range(3):
        monkeypatch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, 3))
        ranks.append(list(ShardSampler(dataset, window=1, seed=0)))
    assert sorted(index for rank in ranks for index in rank) == list(range(30))
    opened = [{index // PER_SHARD for index in rank} for rank in ranks]
    assert not (opened[0] & opened[1] or opened[1] & opened[2] or opened[0] & opened[2])


def test_a_share_of_shards_keeps_pixels_and_labels_together(root):
    share = make(root, num_images=9)
    assert len(share) == 9
    for sample in share:
        number = int(sample["data_samples"]["path"][-9:-4])
        expected = np.asarray(Image.open(io.BytesIO(png(number)))).transpose(2, 0, 1)
        assert sample["data_samples"]["label"] == number % 3
        assert np.array_equal(sample["inputs"].numpy(), expected)


def test_a_broken_member_is_skipped_or_named(root):
    with tarfile.open(root / "train-006.tar", "w") as archive:
        member(archive, "00030.png", png(30)[:40])
        member(archive, "00030.cls", b"0")
    with pytest.raises(InputError, match=r"readable image, got .*train-006\.tar/00030\.png"):
        make(root, shards="*.tar")[30]
    dataset = make(root, shards="*.tar", on_broken="skip")
    assert dataset[30]["data_samples"]["index"] == 0
    assert dataset.broken_paths == [str(root / "train-006.tar" / "00030.png")]


def test_bad_shards_are_one_message(root, tmp_path):
    def refuse(said, **given):
        with pytest.raises(InputError, match=said):
            make(root, **given)

    refuse(r"shards 'train-\{000\.\.007\}\.tar' in .*no .*train-006\.tar and 1 more", shards="train-{000..007}.tar")
    refuse("got none", shards="val-*.tar")
    refuse(r"a label in 0\.\.1, got '2' \(.*train-000\.tar, 00002\.cls\)", num_classes=2)
    refuse("num_classes or classes", num_classes=None)
    whole = (root / "train-000.tar").read_bytes()
    (root / "bad.tar").write_bytes(b"not a tar file" * 100)
    refuse(r"plain tar file, whole, got .*bad\.tar", shards="bad.tar")
    (root / "cut.tar").write_bytes(whole[: len(whole) // 2 - 300])
    refuse(r"cut\.tar", shards="cut.tar")
    with tarfile.open(root / "odd.tar", "w") as archive:
        member(archive, "1.png", png(1))
    refuse(r"image and a label .* in .*odd\.tar, got 1 keys .*'1'", shards="odd.tar")


def test_the_order_of_shards_is_for_shards(root):
    with pytest.raises(InputError, match="ImageShards for frozen_det.ShardSampler, got range"):
        ShardSampler(range(3), seed=0)
    with pytest.raises(InputError, match="window as a number of shards"):
        ShardSampler(make(root), window=0, seed=0)


def test_a_pickled_dataset_opens_its_shards_again(root):
    import pickle

    dataset = ImageShards(str(root), num_classes=3)
    first = dataset[4]["inputs"]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[4]["inputs"], first)


@pytest.mark.parametrize(
    "damage, got",
    [
        (lambda content, at: content[:at] + b"\1" + content[at + 1 :], "bad checksum"),
        (lambda content, at: content[: at + 200], "truncated header"),
        (lambda content, at: content[:at], "the mark of its end is missing"),
    ],
    ids=["a damaged header", "half a header", "no mark of the end"],
)
def test_a_shard_that_does_not_go_on_to_its_end_is_refused(root, damage, got):
    path = root / "train-001.tar"
    with tarfile.open(path) as archive:
        at = archive.getmembers()[6].offset  # of the third key
    path.write_bytes(damage(path.read_bytes(), at))
    with pytest.raises(InputError, match=rf"plain tar file, whole, got \S*/train-001\.tar: {got}"):
        make(root)


@pytest.mark.parametrize("kind", ["png", "cls"])
def test_a_link_is_no_image_and_no_label(root, kind):
    with tarfile.open(root / "train-001.tar", "a") as archive:
        for name in ("x.png", "x.cls"):
            info = tarfile.TarInfo(name)
            if name.endswith(kind):
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(info)
    with pytest.raises(InputError, match=rf"train-001\.tar, got x\.{kind}, a link to /etc/hostname, not a file: write"):
        make(root)
