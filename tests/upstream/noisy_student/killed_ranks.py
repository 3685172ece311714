"""A loop of two processes of which one is killed (SIGKILL) at a place, and started again.

python -m tests.upstream.noisy_student.killed_ranks FOLDER        (every place; prints the table of docs/results.md)
torchrun --nproc-per-node 2 -m tests.upstream.noisy_student.killed_ranks PLACE noisy_student CONFIG --launcher pytorch
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as parquet
import torch

from tests.engine.ranks import run_launches

from ..image_sets import write_folder

CHECKPOINTS = ("teacher/epoch_2.pth", "round-1/student/epoch_2.pth", "fixres/epoch_1.pth")
MODULE = __name__ if __name__ != "__main__" else "tests.upstream.noisy_student.killed_ranks"


# -- how a rank dies -------------------------------------------------------------------------------------------------


def die(*args, **kwargs) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_training(folder: str, hook: str, iteration: int = 0) -> None:
    from mmengine.runner import Runner

    given = Runner.call_hook

    def call_hook(self, name, **kwargs):
        if name == hook and self.work_dir.endswith(folder) and self.iter == iteration:
            die()
        return given(self, name, **kwargs)

    Runner.call_hook = call_hook


def at_call(owner, name: str, number: int = 1, after: bool = False) -> None:
    given, calls = getattr(owner, name), []

    def replaced(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and not after:
            die()
        found = given(*args, **kwargs)
        if len(calls) == number:
            die()
        return found

    setattr(owner, name, replaced)


def in_stage(name: str) -> None:
    """At the end of its own work in a stage; a rank that only waits has none, and dies while the first one works."""
    from frozen_det.engine.runner.stages import Stages

    given = Stages.__call__

    @contextmanager
    def call(self, stage_name, *args, **kwargs):
        with given(self, stage_name, *args, **kwargs) as stage:
            yield stage
            if stage_name == name:
                die()

    Stages.__call__ = call


def in_checkpoint(folder: str) -> None:
    """The file is written, and has not its name yet."""
    given = os.replace

    def replace(source, target, **kwargs):
        if str(target).endswith(f"{folder}/epoch_1.pth"):
            die()
        return given(source, target, **kwargs)

    os.replace = replace


def places() -> dict[str, tuple[int, Callable[[], None]]]:
    """Name -> rank, and how it dies. Twelve images a training: three updates an epoch."""
    from frozen_det.upstream.noisy_student import label_stages, labelling, selection

    return {
        "teacher: before the first update": (1, lambda: in_training("teacher", "before_train")),
        "teacher: second epoch": (0, lambda: in_training("teacher", "after_train_iter", 4)),
        "labels: before the first part": (1, lambda: at_call(label_stages, "label_pool")),
        "labels: second part half-written": (1, lambda: at_call(labelling, "_labelled", 2)),
        "labels: parts whole, not finished": (0, lambda: at_call(label_stages, "label_pool", after=True)),
        "selection: while it waits": (1, lambda: in_stage("round 1 selection")),
        "selection: manifest half-written": (0, lambda: at_call(selection, "_kept")),
        "student: before the first update": (0, lambda: in_training("student", "before_train")),
        "student: checkpoint half-written": (0, lambda: in_checkpoint("student")),
        "student: second epoch": (1, lambda: in_training("student", "after_train_iter", 4)),
        "FixRes: second update": (1, lambda: in_training("fixres", "after_train_iter", 1)),
        "metrics of the student": (1, lambda: in_stage("test student-1")),
        "page": (0, lambda: in_stage("report")),
    }


def arm(rank: int, place: str) -> None:
    """Let this process die at a place, if it is that place's rank."""
    whose, prepare = places()[place]
    if rank == whose:
        prepare()


# -- the loop --------------------------------------------------------------------------------------------------------


def write_data(folder: Path) -> None:
    for split, count in dict(train=4, test=2, pool=4).items():
        write_folder(
            folder / "quick", dict(ash=count, birch=count, cedar=count), split=split, size=12 + (split == "pool")
        )
    from frozen_det.config import load_config

    cfg = load_config("noisy_student/quick", {"data_root": str(folder / "quick"), "labelling.part_size": 2})
    cfg.labelling.batch_size = 1  # two batches a part: one can be met half-written
    cfg.guards, cfg.rounds = [], cfg.rounds[:1]
    for part in (cfg.teacher, *cfg.rounds):
        part.options["train_dataloader.batch_size"] = 2  # four images in an update
    cfg.dump(folder / "loop.py")


def launch(folder: Path, name: str, place: str | None = None) -> dict:
    command = ["noisy_student", str(folder / "loop.py"), "--work-dir", str(folder / name), "--launcher", "pytorch"]
    return dict(world=2, commands=[command], before=place and [MODULE, "arm", place], limit_s=200)


def run(folder: Path, name: str, launches: list[dict]) -> list[dict]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return run_launches(folder / f"run-{name}.json", launches, env)


def end_of(work_dir: Path) -> dict:
    """What a loop ended with: tensors, and bytes of labels, manifest and metrics."""
    found = {
        f"{path}:{name}": value.numpy().tobytes()
        for path in CHECKPOINTS
        for name, value in torch.load(work_dir / path, map_location="cpu", weights_only=False)["state_dict"].items()
    }
    for pattern in ("round-1/labels/part-*", "round-1/labels/labels.json", "round-1/manifest/*.json", "metrics/*.json"):
        found |= {str(path.relative_to(work_dir)): path.read_bytes() for path in work_dir.glob(pattern)}
    for path in work_dir.glob("round-1/manifest/*.parquet"):
        found[str(path.relative_to(work_dir))] = repr(parquet.read_table(path).to_pylist()).encode()
    return found


def left_behind(work_dir: Path) -> list[str]:
    """Partial files, locks and folders set aside."""
    patterns = (".*partial*", ".run.lock", "previous-*")
    return [str(path.relative_to(work_dir)) for pattern in patterns for path in work_dir.rglob(pattern)]


def _table(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_data(folder)
    (whole,) = run(folder, "whole", [launch(folder, "whole")])
    assert whole["codes"] == [0, 0], whole["texts"]
    wanted = end_of(folder / "whole")
    print(f"{len(wanted)} tensors and files are compared")
    for number, (place, (rank, _)) in enumerate(places().items()):
        killed, again = run(folder, str(number), [launch(folder, str(number), place), launch(folder, str(number))])
        assert killed["codes"][rank] == -signal.SIGKILL, (place, killed["codes"], killed["texts"])
        other, line = killed["codes"][1 - rank], killed["texts"][1 - rank].rstrip().rpartition("\n")[2]
        later = killed["ended"][1 - rank] - killed["ended"][rank]
        found = end_of(folder / str(number)) if again["codes"] == [0, 0] else {}
        differ = sum(found.get(name) != value for name, value in wanted.items())
        cells = (place, rank, other, line, f"{later:.1f} s", again["codes"], differ, left_behind(folder / str(number)))
        print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _table(Path(sys.argv[1]))
    else:
        from frozen_det.cli import main

        arm(int(os.environ["RANK"]), sys.argv[1])
        sys.exit(main(sys.argv[2:]))
