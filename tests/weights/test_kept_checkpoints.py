"""The newest checkpoint is the one with the highest number; broken ones and leftovers of dead writers are found."""

import os
import subprocess
import time

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.weights.kept_checkpoints import (
    checkpoint_to_resume,
    has_checkpoints,
    latest_checkpoint,
    numbered_checkpoints,
    remove_leftovers,
)


def _write(path, iteration=0):
    torch.save({"state_dict": {"a": torch.zeros(40)}, "meta": {"iter": iteration}}, path)
    return path


def test_the_highest_number_counts_whatever_the_dates(tmp_path):
    for number in (2, 10, 9):
        _write(tmp_path / f"epoch_{number}.pth")
    os.utime(tmp_path / "epoch_2.pth", (2e9, 2e9))
    assert [path.name for path in numbered_checkpoints(tmp_path)] == ["epoch_10.pth", "epoch_9.pth", "epoch_2.pth"]


def test_of_epochs_and_iterations_the_later_step_counts(tmp_path):
    _write(tmp_path / "epoch_3.pth", 300)
    _write(tmp_path / "iter_250.pth", 250)
    assert latest_checkpoint(tmp_path).name == "epoch_3.pth"
    _write(tmp_path / "iter_350.pth", 350)
    assert latest_checkpoint(tmp_path).name == "iter_350.pth"


def test_other_files_and_folders_are_no_checkpoints(tmp_path):
    for name in ("best_epoch_9.pth", "epoch_x.pth", "epoch_4 (copy).pth", "epoch_5-1234abcd.pth", "resnet50.pth"):
        _write(tmp_path / name)
    (tmp_path / "epoch_7.pth").mkdir()
    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / "absent") is None
    assert [path.name for path in has_checkpoints(tmp_path)] == ["best_epoch_9.pth"]


def test_a_link_to_a_file_that_is_gone_is_a_broken_checkpoint(tmp_path):
    _write(tmp_path / "epoch_1.pth")
    (tmp_path / "epoch_2.pth").symlink_to(tmp_path / "kept" / "epoch_2.pth")
    with pytest.raises(InputError, match=r"got .*epoch_2.pth, which is broken: .* is .*epoch_1.pth: --resume"):
        checkpoint_to_resume(tmp_path)
    (tmp_path / "kept").mkdir()
    _write(tmp_path / "kept" / "epoch_2.pth")
    assert checkpoint_to_resume(tmp_path).name == "epoch_2.pth"


def test_a_template_of_ones_own_is_known_by_the_hosts_pointer(tmp_path):
    _write(tmp_path / "model_1.pth")
    _write(tmp_path / "model_2.pth")
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_2.pth"))
    assert latest_checkpoint(tmp_path).name == "model_2.pth"


def test_checkpoints_kept_elsewhere_are_found_but_those_of_another_run_are_not(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "out" / "run"
    run.mkdir()
    elsewhere.mkdir(parents=True)
    path = _write(elsewhere / "epoch_3.pth")
    (run / "last_checkpoint").write_text(str(path))
    assert latest_checkpoint(run) == path
    (elsewhere / "last_checkpoint").write_text(str(path))  # a work directory of its own
    assert latest_checkpoint(run) is None


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path):
    data = bytearray(path.read_bytes())
    place = data.index(bytes(160))  # the tensor's own bytes: torch alone reads them without a word
    data[place + 8] ^= 1
    path.write_bytes(bytes(data))


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_cut, _flip, _empty])
def test_a_broken_newest_one_is_refused_with_the_next_that_is_whole(tmp_path, spoil):
    for number in (1, 2, 3):
        _write(tmp_path / f"epoch_{number}.pth")
    spoil(tmp_path / "epoch_3.pth")
    _empty(tmp_path / "epoch_2.pth")
    with pytest.raises(InputError, match=r"got .*epoch_3.pth, which is broken.* --resume .*epoch_1.pth"):
        checkpoint_to_resume(tmp_path)
    assert checkpoint_to_resume(tmp_path, str(tmp_path / "epoch_1.pth")).name == "epoch_1.pth"


def test_where_no_whole_one_is_left_that_is_said(tmp_path):
    _empty(tmp_path / "epoch_1.pth")
    with pytest.raises(InputError, match="no other whole one"):
        checkpoint_to_resume(tmp_path)


def test_a_folder_means_its_newest_and_an_empty_one_is_refused_if_it_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert checkpoint_to_resume(tmp_path / "empty") is None
    with pytest.raises(InputError, match=r"expected a checkpoint epoch_N.pth or iter_N.pth in .*empty"):
        checkpoint_to_resume(tmp_path, str(tmp_path / "empty"))
    with pytest.raises(InputError, match="does not exist"):
        checkpoint_to_resume(tmp_path, str(tmp_path / "epoch_9.pth"))
    path = _write(tmp_path / "epoch_4.pth")
    assert checkpoint_to_resume(tmp_path / "empty", str(tmp_path)) == path


@pytest.mark.parametrize("trace", ["last_checkpoint", "best_epoch_2.pth"])
def test_a_folder_that_lost_its_checkpoints_does_not_silently_start_again(tmp_path, trace):
    (tmp_path / trace).write_text("gone/epoch_2.pth")
    with pytest.raises(InputError, match=trace):
        checkpoint_to_resume(tmp_path)


def test_a_pointer_to_a_file_of_another_folder_is_not_said_to_be_gone(tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        folder.mkdir()
    path = _write(other / "weights.pth")
    for folder in (run, other):
        (folder / "last_checkpoint").write_text(str(path))
    with pytest.raises(InputError, match=r"last_checkpoint names .*weights\.pth, which is not in this folder"):
        checkpoint_to_resume(run)
    path.unlink()
    with pytest.raises(InputError, match=r"last_checkpoint names .*weights\.pth, which is not there"):
        checkpoint_to_resume(run)


def test_leftovers_of_dead_writers_go_and_those_of_living_ones_stay(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = tmp_path / f".epoch_3.{ended.pid}.partial.pth"
    living = tmp_path / f".report.{os.getpid()}.partial.html"
    before_us = tmp_path / f".epoch_2.{os.getpid()}.partial.pth"  # an earlier process had our number
    other = tmp_path / "epoch_1.pth"
    for path in (dead, living, before_us, other):
        path.write_bytes(b"x")
    os.utime(before_us, (time.time() - 10**6,) * 2)
    assert remove_leftovers(tmp_path) == sorted([dead, before_us])
    assert sorted(tmp_path.iterdir()) == sorted([living, other])
