"""What ends a command from outside is one line and an exit code; a fault of the program keeps its traceback."""

import errno
import os
import signal
import sys
import types

import pytest
import torch

from frozen_det import cli
from frozen_det.errors import InputError, storage_error
from frozen_det.host.faults import Terminated, described


@pytest.fixture
def command(monkeypatch):
    """Sets what ``frozen-det train`` does."""

    def put(run):
        module = types.ModuleType("frozen_det.cli.broken")
        module.add_arguments, module.run = (lambda parser: None), (lambda args: run())
        monkeypatch.setitem(sys.modules, "frozen_det.cli.broken", module)
        monkeypatch.setitem(cli.COMMANDS, "train", "broken")
        return cli.main(["train"])

    return put


def _left(error):
    error.on_disk = "On disk: epoch_3.pth; --resume resumes from it."
    return error


def test_ctrl_c_and_sigterm_end_with_what_is_on_disk_and_the_shells_codes(command, capsys):
    def interrupted():
        raise _left(KeyboardInterrupt())

    def terminated():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    assert command(interrupted) == 130
    assert capsys.readouterr().err == (
        "frozen-det train: stopped by Ctrl-C. On disk: epoch_3.pth; --resume resumes from it.\n"
    )
    assert command(terminated) == 143
    said = capsys.readouterr().err
    assert said.startswith("frozen-det train: stopped by SIGTERM.") and said.count("\n") == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fault_of_the_program_keeps_its_traceback(command):
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(broken)


def test_the_traceback_can_be_requested(command, monkeypatch):
    monkeypatch.setenv("FROZEN_DET_TRACEBACK", "1")

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command(interrupted)


def _worker_error(kind, text):
    wrapper = torch._utils.ExceptionWrapper((kind, kind(*text), None), "in DataLoader worker process 1")
    try:
        wrapper.reraise()
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (
            _left(storage_error(OSError(errno.ENOSPC, "x"), "w/epoch_4.pth")),
            "could not write w/epoch_4.pth: No space left on device. Free space there, or name a folder on "
            "another disk. "
            "On disk: epoch_3.pth; --resume resumes from it.",
            2,
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b.jpg"),
            "expected the file a/b.jpg, but it does not exist (any more).",
            2,
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a/b.json"),
            "could not open or write a/b.json: Permission denied. Name a folder that you may write",
            2,
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "could not open or write a file: No space left on device",
            2,
        ),
        (
            _worker_error(FileNotFoundError, (errno.ENOENT, "No such file or directory", "a/b.jpg")),
            "expected the file a/b.jpg, but it does not exist (any more).",
            2,
        ),
        (_worker_error(InputError, ("expected a whole image, got a/b.jpg",)), "expected a whole image, got a/b.jpg", 2),
        (
            _left(RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. ")),
            "a data worker (process 4711) was killed from outside. Most often the machine's memory was full: lower "
            "num_workers of the data loaders. On disk: epoch_3.pth",
            1,
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            "a data worker (process 12, 13) was",
            1,
        ),
        (
            RuntimeError("[../gloo/transport/tcp/pair.cc:525] Connection closed by peer [127.0.0.1]:7"),
            "another process of this run is gone",
            1,
        ),
        (Terminated(), "stopped by SIGTERM. Files that were being written are whole or absent.", 143),
    ],
)
def test_each_fault_is_one_line_with_a_remedy(error, words, code):
    said, number = described(error)
    assert said.startswith(words) and "\n" not in said
    assert number == code


def test_what_is_not_known_is_not_described():
    assert described(RuntimeError("shapes do not fit")) is None
    assert described(AssertionError()) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            TypeError("class `RoIHead` in a/a.py: class `Head` in b/b.py: __init__() got a wrong keyword 'x'"),
            "Head cannot be built from the config: __init__() got a wrong keyword 'x'",
        ),
        (
            ValueError("class `Loader` in x/y.py: \n\n  batch_size should be a positive integer\nmore"),
            "Loader cannot be built from the config: batch_size should be a positive integer",
        ),
        (
            KeyError("Mine is not in the mmdet::model registry. Please check whether the value of `Mine` is correct"),
            "there is no type 'Mine' in the registry mmdet::model. Look at its spelling and at custom_imports of the "
            "config.",
        ),
    ],
)
def test_what_the_host_raises_while_it_builds_from_a_config_is_one_line(error, words):
    assert described(error) == (words, 2)
