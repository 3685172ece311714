"""One run in a work directory: a second process is refused by the first one's number, a dead one holds nothing."""

import errno
import fcntl
import json
import os
import signal
import socket
import time
from contextlib import contextmanager

import pytest

from frozen_det.engine.runner.run_lock import NAME, RunLock
from frozen_det.errors import InputError, StorageError


@contextmanager
def another_process(folder, with_child=False):
    """Its number, while it holds the folder; `with_child`: so does a fork of it look, as a data worker would."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        lock = RunLock(folder)
        if with_child:
            child = os.fork()
            os.write(told, str(child).encode().ljust(20)) if child else None
        else:
            os.write(told, b"0".ljust(20))
        time.sleep(60)
        os._exit(lock is None)
    try:
        yield pid, int(os.read(ready, 20))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(told)


def test_a_second_process_is_refused_with_the_first_ones_number(tmp_path):
    with (
        another_process(tmp_path) as (pid, _),
        pytest.raises(InputError, match=rf"process {pid} on .*{socket.gethostname()}.*kill {pid}.*--work-dir"),
    ):
        RunLock(tmp_path)


def test_a_killed_run_holds_nothing_even_while_its_workers_live_on(tmp_path):
    with another_process(tmp_path, with_child=True) as (pid, child):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        try:
            RunLock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_within_a_process_it_is_one_lock_and_the_last_release_ends_it(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path / "." / "")
    first.release()
    first.release()
    assert (tmp_path / NAME).exists()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_an_unreferenced_lock_is_released(tmp_path):
    RunLock(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def without_system_locks(monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)


def _record(pid, host=None, since=None):
    return json.dumps(dict(pid=pid, host=host or socket.gethostname(), since=since or time.time(), command="train"))


def test_without_system_locks_a_record_of_the_living_refuses_and_one_of_the_dead_does_not(
    tmp_path, without_system_locks
):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    (tmp_path / NAME).write_text(_record(pid))
    with pytest.raises(InputError, match=f"process {pid}"):
        RunLock(tmp_path)
    (tmp_path / NAME).write_text(_record(pid, since=time.time() - 10**6))  # the number is another process's by now
    RunLock(tmp_path).release()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (tmp_path / NAME).write_text(_record(pid))
    RunLock(tmp_path).release()


def test_without_system_locks_another_machines_record_is_believed_and_can_be_removed(tmp_path, without_system_locks):
    (tmp_path / NAME).write_text(_record(1, host="elsewhere"))
    with pytest.raises(InputError, match=rf"on elsewhere .* remove .*{NAME}"):
        RunLock(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "null"])
def test_a_lock_file_that_says_nothing_holds_nothing(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    RunLock(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        RunLock(tmp_path / "file" / "below")
    with pytest.raises(StorageError, match="too long"):
        RunLock(tmp_path / ("x" * 300))


def test_a_lock_that_is_collected_while_another_is_taken_ends_after_it(tmp_path, monkeypatch):
    """The garbage collector may run anywhere, also where the list of this process's locks is guarded."""
    import gc
    import threading

    from frozen_det.engine.runner import run_lock

    class Cycle:
        def __init__(self, folder):
            self.lock, self.itself = RunLock(folder), self

    Cycle(tmp_path / "first")
    plain = run_lock._Lock

    def collecting(path):
        gc.collect()
        return plain(path)

    monkeypatch.setattr(run_lock, "_Lock", collecting)
    taken = []
    taking = threading.Thread(target=lambda: taken.append(RunLock(tmp_path / "second")), daemon=True)
    taking.start()
    taking.join(20)
    assert len(taken) == 1, "the lock waits for itself"
    assert not (tmp_path / "first" / NAME).exists() and (tmp_path / "second" / NAME).exists()
    taken[0].release()
    assert not (tmp_path / "second" / NAME).exists()
