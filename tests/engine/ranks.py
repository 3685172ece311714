"""Start groups of processes as torchrun would, many from one import: a program that forks ranks and waits with a limit.

python -m tests.engine.ranks LAUNCHES.json        (a list; each gets exit codes and texts, written back to the file)

A launch: `world` processes, `commands` (argument lists of `frozen-det`, one after the other), `limit_s`; `stopped`, a
rank that will never end by itself and is killed once the others have ended; `before`, a module, a function of it and
its arguments after the rank, called in each process first. It gets `ended`, when each rank ended, in seconds.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def run_launches(file: Path, launches: list[dict], env: dict) -> list[dict]:
    """Run launches in one program; returns them with `codes` (None after `limit_s`) and `texts` of the ranks."""
    import subprocess

    file.write_text(json.dumps(launches))
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.ranks", str(file)], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(file.read_text())


def _launch(launch: dict, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    ranks = {}
    for rank in range(launch["world"]):
        pid = os.fork()
        if pid == 0:
            _rank(launch, rank, port, folder)
        ranks[pid] = rank
    codes: list = [None] * launch["world"]
    launch["ended"] = [None] * launch["world"]
    end = time.monotonic() + launch.get("limit_s", 400)
    stopped = launch.get("stopped")
    while ranks and time.monotonic() < end:
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if pid:
            launch["cpu_s"] = launch.get("cpu_s", 0) + used.ru_utime + used.ru_stime
            launch["ended"][ranks[pid]] = time.monotonic()
            codes[ranks.pop(pid)] = os.waitstatus_to_exitcode(status)
        elif list(ranks.values()) == [stopped]:
            break
        time.sleep(0.02)
    for pid in ranks:  # the limit is over, or only the one that was stopped is left
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    launch["codes"], launch["texts"] = codes, [(folder / f"{rank}.txt").read_text() for rank in range(launch["world"])]


def _rank(launch: dict, rank: int, port: int, folder: Path) -> None:
    out = os.open(folder / f"{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 1
    try:
        if launch["world"] > 1:
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(launch["world"]), TORCHELASTIC_RUN_ID="none",
                MASTER_ADDR="localhost", MASTER_PORT=str(port),
            )  # fmt: skip
        from frozen_det.cli import main

        if launch.get("before"):
            module, name, *arguments = launch["before"]
            getattr(importlib.import_module(module), name)(rank, *arguments)
        codes = [main(command) for command in launch["commands"]]
        code = max(codes)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # an interpreter that is taken down in order is now and then aborted by gloo's own threads


def _main(file: str) -> None:
    import torch
    from yapf.yapflib import yapf_api

    from . import train_in_turn

    torch.set_num_threads(1)
    train_in_turn.register()
    # What takes longest in these runs is done once, before the fork, or not at all.
    for name in ("mmdet.models", "frozen_det.upstream", "frozen_det.engine.training", "timm"):
        importlib.import_module(name)
    importlib.import_module("frozen_det.config").load_config("quickstart")  # imports all that a config may name
    yapf_api.FormatCode = lambda text, **options: (text, False)  # the layout of recorded configs
    launches = json.loads(Path(file).read_text())
    gc.freeze()  # mmengine collects garbage for each data set
    for number, launch in enumerate(launches):
        folder = Path(file).with_suffix("") / str(number)
        folder.mkdir(parents=True)
        begin = time.monotonic()
        _launch(launch, folder)
        launch["seconds"] = time.monotonic() - begin
    Path(file).write_text(json.dumps(launches))


if __name__ == "__main__":
    _main(sys.argv[1])
