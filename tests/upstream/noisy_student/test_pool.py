"""Pools: the same images, numbers and digests however they are read; shards by address; what cannot be read is said."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.pool import (
    content_hash,
    open_pool,
    pool_hashes,
    read_bytes,
    read_part,
    sources_of,
)
from tests.upstream.label_pools import write_images


def items(pool, folder, part_size=4):
    return [item for part in pool.parts(folder, part_size) for item in read_part(part)]


def write_shard(path, folder, compressed=False):
    with tarfile.open(path, "w:gz" if compressed else "w") as archive:
        for image in sorted(folder.rglob("*.png")):
            archive.add(image, arcname=str(image.relative_to(folder)))
            text = tarfile.TarInfo(f"{image.stem}.json")
            text.size = 2
            archive.addfile(text, io.BytesIO(b"{}"))
    return path


def test_a_folder_is_cut_into_parts_that_hold_each_image_once_in_order(tmp_path):
    folder = write_images(tmp_path / "pool", 11)
    (folder / "notes.txt").write_text("no image")
    pool = open_pool(dict(folder=folder))
    parts = pool.parts(tmp_path / "lists", 4)
    assert [(part.number, part.num_files) for part in parts] == [(0, 4), (1, 4), (2, 3)]
    found = items(pool, tmp_path / "lists")
    assert [item.path for item in found] == sorted(str(path) for path in folder.rglob("*.png"))
    assert all(item.content == Path(item.path).read_bytes() for item in found)
    assert len({item.id for item in found}) == 11 and all(0 <= item.id < 2**63 for item in found)


def test_a_list_begins_at_its_root_and_may_have_labels_and_spaces(tmp_path):
    folder = write_images(tmp_path / "pool", 3)
    os.rename(folder / "00" / "0000.png", folder / "00" / "a b.png")
    lines = ["00/a b.png", "01/0001.png", "", "00/0002.png", "00/missing.png"]
    (tmp_path / "plain.txt").write_text("\n".join(lines))
    (tmp_path / "labelled.txt").write_text("\n".join(f"{line} 7" if line else "" for line in lines) + "\n")
    names = []
    for source in (
        dict(list_file=tmp_path / "plain.txt", root=folder),
        dict(list_file=tmp_path / "labelled.txt", root=folder, labelled=True),
    ):
        found = items(open_pool(source), tmp_path / f"lists-{len(names)}")
        names.append([os.path.relpath(item.path, folder) for item in found])
        assert [item.content is None for item in found] == [False, False, False, True]
        assert "No such file" in found[-1].error
    assert names[0] == names[1] == [line for line in lines if line]


@pytest.mark.parametrize("address", [False, True])
def test_a_shard_gives_images_with_the_place_of_their_bytes(tmp_path, address):
    folder = write_images(tmp_path / "pool", 5)
    for number in range(2):
        write_shard(tmp_path / f"s-{number:02d}.tar", folder)
    start = f"file://{tmp_path}" if address else str(tmp_path)
    for name, pattern in (("range", "s-{00..01}.tar"), ("pattern", "s-*.tar")):
        pool = open_pool(dict(shards=f"{start}/{pattern}"))
        found = items(pool, tmp_path / name)
        assert len(pool.parts(tmp_path / name)) == 2 and len(found) == 10
        for item in found:
            assert item.content == (folder / item.key).read_bytes() == read_bytes(item.path, item.offset, item.size)
        assert len({item.id for item in found}) == 10 and len({content_hash(item.content) for item in found}) == 5


def test_shards_of_another_file_system_are_read_through_fsspec(tmp_path):
    import fsspec

    folder = write_images(tmp_path / "pool", 3)
    path = write_shard(tmp_path / "s.tar", folder)
    fsspec.filesystem("memory").pipe("/bucket/s.tar", path.read_bytes())
    item = items(open_pool(dict(shards="memory://bucket/s.tar")), tmp_path / "one")[1]
    assert item.content == read_bytes(item.path, item.offset, item.size) == (folder / item.key).read_bytes()
    assert items(open_pool(dict(shards="memory://bucket/*.tar")), tmp_path / "all")[1].content == item.content


def test_a_shard_that_breaks_off_ends_with_an_item_that_says_so(tmp_path):
    path = write_shard(tmp_path / "s.tar", write_images(tmp_path / "pool", 5, size=40))
    path.write_bytes(path.read_bytes()[:12_000])
    found = items(open_pool(dict(shards=str(path))), tmp_path / "cut")
    assert 1 < len(found) < 6 and found[-1].content is None and "breaks off" in found[-1].error
    assert all(item.content is not None for item in found[:-1])
    packed = write_shard(tmp_path / "p.tar", tmp_path / "pool", compressed=True)
    assert [item.content for item in items(open_pool(dict(shards=str(packed))), tmp_path / "packed")] == [None]


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda content, at: content[:at] + b"\1" + content[at + 1 :], "bad checksum"),
        (lambda content, at: content[: at + 200], "truncated header"),
        (lambda content, at: content[:at], "the mark of its end is missing"),
    ],
    ids=["a damaged header", "half a header", "no mark of the end"],
)
def test_a_shard_that_does_not_go_on_to_its_end_breaks_off_where_a_header_is_to_be(tmp_path, damage, says):
    path = write_shard(tmp_path / "s.tar", write_images(tmp_path / "pool", 5))
    with tarfile.open(path) as archive:
        at = archive.getmembers()[3].offset
    path.write_bytes(damage(path.read_bytes(), at))
    found = items(open_pool(dict(shards=str(path))), tmp_path / "cut")
    assert [item.content is not None for item in found] == [True] * (len(found) - 1) + [False] and len(found) > 2
    assert found[-1].error == f"the shard breaks off here: {says}"


def test_links_in_a_shard_are_items_that_say_so_and_are_never_followed(tmp_path):
    folder = write_images(tmp_path / "pool", 1)
    (image,) = folder.rglob("*.png")
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(image, "../../up.png")
        for kind, to in ((tarfile.SYMTYPE, str(image)), (tarfile.LNKTYPE, "../../up.png"), (tarfile.FIFOTYPE, "")):
            info = tarfile.TarInfo(f"in/{kind.decode()}.png")
            info.type, info.linkname = kind, to
            archive.addfile(info)
    first, *others = items(open_pool(dict(shards=str(tmp_path / "s.tar"))), tmp_path / "linked")
    assert first.content == image.read_bytes() and not (tmp_path.parent / "up.png").exists()
    assert [(item.key, item.content, item.offset, item.error.partition(":")[0]) for item in others] == [
        ("in/2.png", None, -1, f"a link to {image}, not a file"),
        ("in/1.png", None, -1, "a link to ../../up.png, not a file"),
        ("in/6.png", None, -1, "a device, not a file"),
    ]


def test_digests_change_with_the_files_of_their_part_alone(tmp_path):
    folder = write_images(tmp_path / "pool", 8)
    pool = open_pool(dict(folder=folder))
    before, whole = pool.parts(tmp_path / "a", 4), pool.digest()
    assert [part.digest for part in pool.parts(tmp_path / "b", 4)] == [part.digest for part in before]
    with open(folder / "01" / "0007.png", "ab") as file:
        file.write(b"x")
    after = pool.parts(tmp_path / "c", 4)
    assert after[0].digest == before[0].digest and after[1].digest != before[1].digest and pool.digest() != whole


def test_a_validation_set_is_hashed_through_its_config(tmp_path):
    root = write_images(tmp_path / "set", 6)
    wanted = {content_hash(path.read_bytes()) for path in root.rglob("*.png")}
    (tmp_path / "list.txt").write_text("".join(f"{path} 0\n" for path in root.rglob("*.png")))
    write_shard(tmp_path / "s.tar", root)
    for config in (
        dict(type="frozen_det.ImageFolder", data_root=str(tmp_path), split="set"),
        dict(type="frozen_det.ImageList", ann_file=str(tmp_path / "list.txt")),
        dict(type="frozen_det.ImageShards", data_root=str(tmp_path), shards="*.tar"),
        dict(type="frozen_det.CocoDataset", data_root=str(tmp_path), data_prefix=dict(img="set/")),
        dict(type="RepeatDataset", dataset=dict(type="ImageFolder", data_root=str(tmp_path), split="set")),
    ):
        assert pool_hashes(open_pool(sources_of(config))) == wanted
    with pytest.raises(InputError, match="type='Cifar'"):
        sources_of(dict(type="frozen_det.Cifar", data_root="x"))


def test_the_hash_is_of_the_file_not_of_the_pixels(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png", compress_level=0)
    assert content_hash((tmp_path / "a.png").read_bytes()) != content_hash((tmp_path / "b.png").read_bytes())
    assert content_hash(b"") == "cae66941d9efbd404e4d88758ea67670"


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([], "at least one source"),
        (dict(folder="absent"), "'absent', which is none"),
        (dict(list_file="absent"), "list file"),
        (dict(shards="absent-{0..1}.tar"), "absent-0.tar"),
        (dict(folder=".", shards="x"), "each source as"),
        (dict(folder=".", root="x"), "each source as"),
        (dict(shards="nowhere://x.tar"), "fsspec"),
    ],
)
def test_sources_that_are_not_there_are_refused_by_name(sources, said):
    with pytest.raises(InputError, match=said):
        open_pool(sources)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one image"):
        open_pool(dict(folder=tmp_path)).parts(tmp_path / "lists")


@pytest.mark.parametrize("inner", ["pool/00", "pool/../pool", "link"])
def test_folders_that_hold_each_others_images_are_refused(tmp_path, inner):
    from frozen_det.upstream.noisy_student.pool import refuse_overlap

    write_images(tmp_path / "pool", 2)
    write_images(tmp_path / "pool2", 2)
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    outer, beside = dict(folder=str(tmp_path / "pool")), dict(folder=str(tmp_path / "pool2"))
    refuse_overlap(open_pool([beside, outer, outer]))
    with pytest.raises(InputError, match="without an image in common"):
        refuse_overlap(open_pool([beside, dict(folder=str(tmp_path / inner)), outer]))
