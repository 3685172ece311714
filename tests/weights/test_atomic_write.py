"""A file is whole or absent; one that cannot be written is one error with its path and a remedy."""

import errno
import os
import resource

import pytest
import torch

from frozen_det.errors import StorageError
from frozen_det.weights.atomic_write import make_folder, replacing, write_json, write_text


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "one")
    write_json(tmp_path / "new" / "a.txt", {"b": 2}, indent=None)
    assert (tmp_path / "new" / "a.txt").read_text() == '{"b": 2}'
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_an_error_of_the_writer_leaves_the_old_file_and_comes_through(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as partial:
        partial.write_text("new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_named_with_the_file_and_the_old_one_stays(tmp_path, monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    (tmp_path / "a.pth").write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=rf"could not write {tmp_path}/a.pth: {os.strerror(number)}\. \w+.* folder"):
        write_text(tmp_path / "a.pth", "new")
    assert (tmp_path / "a.pth").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_bytes(bytes(10**6)), lambda path: torch.save(torch.zeros(10**6), path)],
    ids=["plain", "torch.save"],
)
def test_what_the_system_refuses_in_the_middle_of_a_file_is_the_same_error(tmp_path, write, monkeypatch):
    # torch says only that the file has another length; whether the disk is full is looked up.
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
    try:
        with pytest.raises(StorageError, match="could not write .*a.pth"), replacing(tmp_path / "a.pth") as partial:
            write(partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_a_file_for_a_folder_and_a_folder_for_a_file_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="File name too long. Choose a shorter name"):
        write_text(tmp_path / ("x" * 300), "")
    with pytest.raises(StorageError, match="A folder is needed here"):
        write_text(tmp_path / "file" / "a", "")
    with pytest.raises(StorageError, match="A folder is needed here"):
        make_folder(tmp_path / "file")
    with pytest.raises(StorageError, match="there is a folder of this name"):
        write_text(tmp_path, "")
