"""A pool is listed once: what joins is appended, what is there keeps part and digest; what left or changed is told."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.labelling import label_pool
from frozen_det.upstream.noisy_student.listings import segments, sources
from frozen_det.upstream.noisy_student.listings.listing import files_of, open_listing
from frozen_det.upstream.noisy_student.pool import open_pool, read_part
from tests.upstream.label_pools import CROP, Teacher, write_images


def listed(given, folder, part_size=4, again=False, log=str):
    with open_listing(open_pool(given).sources, folder, part_size, again, log) as listing:
        return listing.parts


def paths(parts):
    return [[path for path, _ in files_of(part)] for part in parts]


def settle(folder):
    """Folders that nobody has touched for an hour."""
    for path, _, _ in os.walk(folder):
        os.utime(path, (time.time() - 3600,) * 2)


def expected_digest(files):
    """As versions before the listing had it: labels of theirs stay."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        state = f"{os.stat(path).st_size} {os.stat(path).st_mtime_ns}" if os.path.exists(path) else "absent"
        line = f"{path}\0{state}".encode()
        digest.update(len(line).to_bytes(8, "little") + line)
    return digest.hexdigest()


def test_what_joins_a_folder_is_appended_and_alone_looked_up(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "pool", 10)
    settle(folder)
    before = listed(dict(folder=folder), tmp_path / "list")
    assert [part.digest for part in before] == [expected_digest(files) for files in paths(before)]
    names = paths(before)
    assert sum(names, []) == sorted(map(str, folder.rglob("*.png")))
    for name in ("00/0000a.png", "01/new/b.png", "a.png", "01/new/deeper/c.jpg", "00/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "00" / "0000.png", folder / name)
    looked, look = [], segments.stated
    monkeypatch.setattr(segments, "stated", lambda path: looked.append(path) or look(path))
    said = []
    after = listed(dict(folder=folder), tmp_path / "list", log=said.append)
    assert after[:3] == before and paths(after)[:3] == names
    joined = [str(folder / name) for name in ("00/0000a.png", "01/new/b.png", "01/new/deeper/c.jpg", "a.png")]
    assert sorted(sum(paths(after)[3:], [])) == sorted(looked) == joined
    assert said == [f"[pool] 4 files of {folder} listed"]
    assert [part.digest for part in after[3:]] == [expected_digest(files) for files in paths(after)[3:]]


def test_a_start_on_a_pool_that_has_not_grown_looks_at_no_image_and_scans_no_folder(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "pool", 9)
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in folder.rglob("*.png")))
    given = [dict(folder=folder), dict(list_file=tmp_path / "list.txt")]
    settle(folder)
    first = listed(given, tmp_path / "list")
    for module, name in ((segments, "stated"), (sources, "_names")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("looked"))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "list").iterdir()}
    assert listed(given, tmp_path / "list") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "list").iterdir()} == written


def test_a_folder_touched_within_the_clocks_tick_is_looked_at_again(tmp_path):
    folder = write_images(tmp_path / "pool", 2)
    assert len(listed(dict(folder=folder), tmp_path / "list")) == 1
    taken = os.stat(folder / "00").st_mtime_ns
    shutil.copy(folder / "00" / "0000.png", folder / "00" / "late.png")
    os.utime(folder / "00", ns=(taken, taken))  # a clock that has not moved on
    assert paths(listed(dict(folder=folder), tmp_path / "list"))[1] == [str(folder / "00" / "late.png")]


def test_a_list_grows_at_its_end_and_shards_join_anywhere(tmp_path):
    folder, text = write_images(tmp_path / "pool", 9), tmp_path / "list.txt"
    files = sorted(map(str, folder.rglob("*.png")))
    text.write_text("\n".join(files[:6]))  # without a line break at its end
    for number in (1, 3):
        with tarfile.open(tmp_path / f"s-{number}.tar", "w") as archive:
            archive.add(files[0], arcname="a.png")
    given = [dict(list_file=text), dict(shards=str(tmp_path / "s-*.tar"))]
    before = listed(given, tmp_path / "list")
    assert [Path(part.path).name for part in before[2:]] == ["s-1.tar", "s-3.tar"]
    with open(text, "a") as file:
        file.write("\n" + "\n".join(files[6:]) + "\n")
    shutil.copy(tmp_path / "s-1.tar", tmp_path / "s-2.tar")
    after = listed([*given, dict(folder=folder)], tmp_path / "list")
    assert after[:4] == before and paths(after[4:5]) == [files[6:]]
    assert [Path(part.path).name for part in after[5:6]] == ["s-2.tar"] and sum(paths(after[6:]), []) == files
    assert [part.number for part in after] == list(range(len(after)))


@pytest.mark.parametrize("change", [lambda lines: lines[1:], lambda lines: [*lines[:-1], lines[-1] + "x"]])
def test_a_list_whose_lines_changed_is_refused(tmp_path, change):
    text = tmp_path / "list.txt"
    lines = [f"{number}.png" for number in range(5)]
    (tmp_path / lines[0]).touch()
    text.write_text("\n".join(lines))
    listed(dict(list_file=text), tmp_path / "list")
    text.write_text("\n".join(change(lines)))
    with pytest.raises(InputError, match=r"list\.txt to begin with the 29 bytes.*Put them back, or remove .*list"):
        listed(dict(list_file=text), tmp_path / "list")


def test_an_image_that_is_gone_is_told_and_listed_again_costs_its_part_alone(tmp_path):
    folder, out = write_images(tmp_path / "pool", 10), tmp_path / "out"
    settings = dict(part_size=4, batch_size=4, transform=CROP, log=str)
    assert label_pool(Teacher(), open_pool(dict(folder=folder)), out, **settings).num_images == 10
    gone = folder / "01" / "0003.png"
    content, taken = gone.read_bytes(), os.stat(gone).st_mtime_ns
    gone.unlink()
    with pytest.raises(InputError, match=r"1 of them no more: .*01/0003\.png.*Put them back, or list again"):
        label_pool(Teacher(), open_pool(dict(folder=folder)), out, **settings)
    again = label_pool(Teacher(), open_pool(dict(folder=folder)), out, **settings, list_again=True)
    assert (again.num_skipped, again.num_images, again.num_undecodable) == (2, 4, 1)
    assert "0003.png" in (out / "undecodable.txt").read_text()
    assert label_pool(Teacher(), open_pool(dict(folder=folder)), out, **settings).num_skipped == 3
    gone.write_bytes(content)
    os.utime(gone, ns=(taken, taken))
    back = label_pool(Teacher(), open_pool(dict(folder=folder)), out, **settings, list_again=True)
    assert (back.num_skipped, back.num_undecodable) == (2, 0) and not (out / "undecodable.txt").read_text()


def test_an_image_that_was_overwritten_is_told_when_it_is_read(tmp_path):
    folder = write_images(tmp_path / "pool", 6)
    before = listed(dict(folder=folder), tmp_path / "list")
    (folder / "01" / "0003.png").write_bytes(b"other")
    items = [item for part in listed(dict(folder=folder), tmp_path / "list") for item in read_part(part)]
    (odd,) = (item for item in items if item.content is None)
    assert odd.path.endswith("0003.png") and "as it was listed, got 5: it was changed" in odd.error
    said = []
    again = listed(dict(folder=folder), tmp_path / "list", again=True, log=said.append)
    assert [one == other for one, other in zip(again, before)] == [False, False]  # the file of the names is another
    assert [one.digest == other.digest for one, other in zip(again, before)] == [True, False]
    assert said == ["[pool] listed again: 0 files are gone, 1 have changed"]
    assert [item.content for item in read_part(again[1])][0] == b"other"


def test_shards_that_changed_or_left_and_sources_that_left_are_refused(tmp_path):
    folder = write_images(tmp_path / "pool", 3)
    for number in (0, 1):
        with tarfile.open(tmp_path / f"s-{number}.tar", "w") as archive:
            archive.add(folder / "00" / "0000.png", arcname="a.png")
    shards = dict(shards=str(tmp_path / "s-*.tar"))
    whole = [shards, dict(folder=folder)]
    before = listed(whole, tmp_path / "list")
    with pytest.raises(InputError, match=r"sources without .*pool.*: a pool may grow.*remove .*list"):
        listed(shards, tmp_path / "list")
    with pytest.raises(InputError, match=r"sources without .*s-1\.tar"):
        listed([dict(shards=str(tmp_path / "s-0.tar")), dict(folder=folder)], tmp_path / "list")
    size = os.path.getsize(tmp_path / "s-1.tar")
    with open(tmp_path / "s-1.tar", "ab") as file:
        file.write(b"\0" * 512)
    with pytest.raises(InputError, match=rf"s-1\.tar as it is listed .* with {size} bytes, got {size + 512} bytes"):
        listed(whole, tmp_path / "list")
    after = listed(whole, tmp_path / "list", again=True)
    assert [one.digest == other.digest for one, other in zip(after, before)] == [True, False, True]
    (tmp_path / "s-1.tar").unlink()
    with pytest.raises(InputError, match=r"s-1\.tar .* got no such file"):
        listed(whole, tmp_path / "list")
    assert len(listed(whole, tmp_path / "list", again=True)) == len(listed(whole, tmp_path / "list")) == 3


def test_another_part_size_cuts_the_same_names_anew(tmp_path):
    folder = write_images(tmp_path / "pool", 10)
    listed(dict(folder=folder), tmp_path / "list", 4)
    found, fresh = (listed(dict(folder=folder), tmp_path / name, 3) for name in ("list", "fresh"))
    assert [part.digest for part in found] == [part.digest for part in fresh] and paths(found) == paths(fresh)


def test_what_lies_beside_the_listing_may_be_moved_with_it(tmp_path):
    folder, work = write_images(tmp_path / "pool", 4), tmp_path / "work"
    work.mkdir()
    (work / "list.txt").write_text("".join(f"{path}\n" for path in folder.rglob("*.png")))
    before = listed(dict(list_file=work / "list.txt"), work / "listing")
    work.rename(tmp_path / "moved")
    after = listed(dict(list_file=tmp_path / "moved" / "list.txt"), tmp_path / "moved" / "listing")
    assert [part.digest for part in after] == [part.digest for part in before]


def test_names_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    with pytest.raises(InputError, match="UTF-8"):
        listed(dict(folder=tmp_path / "pool"), tmp_path / "list")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1), min_size=1, max_size=5))
def test_however_a_pool_grows_each_image_is_in_one_part_and_stays_there(tmp_path_factory, steps):
    root, before, there = tmp_path_factory.mktemp("grown"), [], set()
    for step in steps:
        for depth, number in step:
            path = root / "pool" / "/".join(map(str, range(depth))) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            there.add(str(path))
        parts = listed(dict(folder=root / "pool"), root / "list", 3)
        files = paths(parts)
        assert files[: len(before)] == before and parts[-1].number == len(parts) - 1
        assert sorted(sum(files, [])) == sorted(there)
        before = files


def _lists(folder, out, gate, results, slow=0.0):
    look = segments.stated
    segments.stated = lambda path: time.sleep(slow) or look(path)
    gate.wait()
    said = []
    parts = listed(dict(folder=folder), out, log=said.append)
    results.put(([part.digest for part in parts], sum("files of" in line for line in said)))


def test_of_several_processes_one_lists_and_all_have_the_same(tmp_path):
    folder = write_images(tmp_path / "pool", 40)
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(4), context.Queue()
    arguments = (folder, tmp_path / "list", gate, results, 0.005)
    workers = [context.Process(target=_lists, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(count for _, count in found) == 1
    assert all(digests == found[0][0] and len(digests) == 10 for digests, _ in found)


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.35])
def test_a_process_killed_while_it_lists_leaves_no_lock_and_nothing_half(tmp_path, delay):
    folder = write_images(tmp_path / "pool", 40)
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(2)
    worker = context.Process(target=_lists, args=(folder, tmp_path / "list", gate, context.Queue(), 0.01))
    worker.start()
    gate.wait()
    time.sleep(delay)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    found = listed(dict(folder=folder), tmp_path / "list")
    assert [part.digest for part in found] == [part.digest for part in listed(dict(folder=folder), tmp_path / "whole")]
    assert len(list((tmp_path / "list").iterdir())) == len(list((tmp_path / "whole").iterdir())) == 3


def test_a_link_to_a_folder_above_it_is_passed_over(tmp_path):
    folder = write_images(tmp_path / "pool", 3)
    os.symlink(folder, folder / "00" / "again")
    names = sorted(map(str, folder.rglob("*.png")))
    assert sum(paths(listed(dict(folder=folder), tmp_path / "list")), []) == names
    (folder / "new").mkdir()
    os.symlink(folder, folder / "new" / "again")
    shutil.copy(folder / "00" / "0000.png", folder / "new")
    joined = listed(dict(folder=folder), tmp_path / "list")
    assert sum(paths(joined), []) == [*names, str(folder / "new" / "0000.png")]


def test_a_link_to_a_folder_beside_it_is_followed(tmp_path):
    folder = write_images(tmp_path / "pool", 1)
    (folder / "other").mkdir()
    os.symlink(folder / "00", folder / "other" / "linked")
    (files,) = paths(listed(dict(folder=folder), tmp_path / "list"))
    assert files == [str(folder / "00" / "0000.png"), str(folder / "other" / "linked" / "0000.png")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xd8\0\0JFIF\n", "binary content"),
        (b"a.jpg\nb.jpg\n", "2 names of which none is a file, the first '.*a.jpg'"),
    ],
)
def test_a_list_that_is_none_or_names_no_file_is_refused(tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=said):
        listed(dict(list_file=tmp_path / "list.txt"), tmp_path / "list")


def test_of_a_list_the_names_that_are_no_files_are_counted(tmp_path):
    image = next(write_images(tmp_path / "pool", 1).rglob("*.png"))
    (tmp_path / "list.txt").write_text(f"{image}\nabsent.jpg\n")
    said = []
    listed(dict(list_file=tmp_path / "list.txt"), tmp_path / "list", log=said.append)
    assert said == [f"[pool] 2 files of {tmp_path / 'list.txt'} listed, 1 of them are not there"]


@pytest.mark.parametrize("file", ["listing.json", "files-00001.parquet", "folders-00002.parquet"])
@pytest.mark.parametrize("content", [b"{}", b"PAR1 and no more", None])
def test_a_broken_listing_is_told_with_its_folder(tmp_path, file, content):
    folder, listing = write_images(tmp_path / "pool", 3), tmp_path / "list"
    before = listed(dict(folder=folder), listing)
    if content is None:
        (listing / file).unlink()
    else:
        (listing / file).write_bytes(content)
    if (file, content) == ("listing.json", None):
        assert listed(dict(folder=folder), listing) == before
        return
    with pytest.raises(InputError, match=f"remove {listing} to list again"):
        for part in listed(dict(folder=folder), listing):
            list(files_of(part))


def test_files_of_others_beside_a_listing_stay(tmp_path):
    folder, listing = write_images(tmp_path / "pool", 3), tmp_path / "list"
    listing.mkdir()
    old = listing / "files-00007.parquet"
    for path in (listing / "00000.parquet", old):
        path.write_bytes(b"theirs")
    listed(dict(folder=folder), listing)
    assert (listing / "00000.parquet").read_bytes() == b"theirs" and not old.exists()
