"""Two containers whose processes have equal numbers, with equal and with different host names, in one folder."""

import errno
import fcntl
import itertools
import os
import socket
import subprocess
import time

import pytest
import torch

from frozen_det.engine.runner import run_lock
from frozen_det.engine.runner.run_lock import NAME, RunLock
from frozen_det.errors import InputError
from frozen_det.host import processes
from frozen_det.weights.atomic_write import ABANDONED_S, PARTIAL, is_leftover, partial_path, replacing
from frozen_det.weights.feature_store import FeatureStore
from frozen_det.weights.kept_checkpoints import remove_leftovers


@pytest.fixture(params=["same host name", "other host name", "same host name after a boot"])
def go_elsewhere(request):
    """Call it, and this process is in another container, with the same process id; call it again to come back."""
    away, places = pytest.MonkeyPatch(), itertools.cycle(["there", "here"])

    def move():
        if next(places) == "here":
            away.undo()
        elif request.param == "other host name":
            away.setattr(socket, "gethostname", lambda: "node-b.cluster/1")
        elif request.param == "same host name":
            away.setattr(processes, "_process_namespace", lambda: "pid:[4026532999]")
        else:
            away.setattr(processes, "_boot_id", lambda: "another boot")

    yield move
    away.undo()


def test_writers_of_equal_numbers_do_not_share_a_partial_file(tmp_path, go_elsewhere):
    with replacing(tmp_path / "a.bin") as first:
        first.write_bytes(b"first")
        go_elsewhere()
        with replacing(tmp_path / "a.bin") as second:
            assert second != first and PARTIAL.match(second.name)["place"] != PARTIAL.match(first.name)["place"]
            second.write_bytes(b"the second one")
        assert (tmp_path / "a.bin").read_bytes() == b"the second one"
    assert (tmp_path / "a.bin").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_name_says_host_rank_and_process_and_differs_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node-b.cluster")
    monkeypatch.setenv("RANK", "17")
    one, other = partial_path(tmp_path / "part-000003.parquet"), partial_path(tmp_path / "part-000003.parquet")
    assert one != other and one.suffix == ".parquet"
    assert one.name.startswith(f".part-000003.node-b-cluster_{processes.process_place()}_17_{os.getpid()}_")


def test_a_file_of_a_process_elsewhere_is_a_leftover_only_after_a_day(tmp_path, go_elsewhere):
    ended = subprocess.Popen(["true"])
    ended.wait()
    path = partial_path(tmp_path / "epoch_3.pth")
    dead = path.with_name(path.name.replace(f"_{os.getpid()}_", f"_{ended.pid}_"))
    for one in (path, dead):
        one.write_bytes(b"x")
    go_elsewhere()  # the number of `dead` says nothing here, that of `path` is our own
    assert remove_leftovers(tmp_path) == []
    go_elsewhere()
    assert remove_leftovers(tmp_path) == [dead] and not is_leftover(path)
    go_elsewhere()
    os.utime(path, (time.time() - ABANDONED_S - 60,) * 2)
    assert remove_leftovers(tmp_path) == [path]


def test_a_store_does_not_take_away_what_is_written_elsewhere(tmp_path, go_elsewhere):
    store = FeatureStore(tmp_path)
    store.write(("0" * 64, "1" * 64), {"a": torch.zeros(60)})
    written = partial_path(next(tmp_path.glob("*/*/*.safetensors")))
    written.write_bytes(b"half")
    go_elsewhere()
    FeatureStore(tmp_path)
    assert written.exists()
    os.utime(written, (time.time() - ABANDONED_S - 60,) * 2)
    FeatureStore(tmp_path)
    assert not written.exists()


@pytest.fixture
def without_system_locks(monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)


def _held_elsewhere(folder, go_elsewhere):
    """A lock that a process of our number took in another container."""
    go_elsewhere()
    lock = run_lock._Lock(folder / NAME)
    go_elsewhere()
    return lock


def test_a_lock_of_our_number_elsewhere_is_not_stolen_while_its_holder_lives(
    tmp_path, go_elsewhere, without_system_locks, monkeypatch
):
    monkeypatch.setattr(run_lock, "BEAT_S", 0.05)
    monkeypatch.setattr(run_lock, "SILENCE_S", 0.6)
    lock = _held_elsewhere(tmp_path, go_elsewhere)
    for _ in range(4):
        with pytest.raises(InputError, match=f"process {os.getpid()} on .*its hold ends"):
            RunLock(tmp_path)
        time.sleep(0.25)
    lock.end()
    RunLock(tmp_path).release()


def test_a_lock_of_a_dead_process_elsewhere_ends_by_itself(tmp_path, go_elsewhere, without_system_locks, monkeypatch):
    monkeypatch.setattr(run_lock, "SILENCE_S", 0.3)
    lock = _held_elsewhere(tmp_path, go_elsewhere)  # it sets the time after 60 s: to us it is dead
    time.sleep(0.4)
    with RunLock(tmp_path):
        taken = (tmp_path / NAME).read_bytes()
        lock.end()  # it was only stopped: the lock that it lost is not its to remove
        assert (tmp_path / NAME).read_bytes() == taken
    assert list(tmp_path.iterdir()) == []


def test_reading_who_holds_a_lock_does_not_end_it(tmp_path, monkeypatch):
    """POSIX locks end when the process closes any descriptor of the file."""
    monkeypatch.setattr(run_lock, "BEAT_S", 0.02)
    with RunLock(tmp_path):
        time.sleep(0.1)
        pid = os.fork()
        if pid == 0:
            file = os.open(tmp_path / NAME, os.O_RDWR)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
