"""`frozen-det label`: every engine makes the labels that one process makes; what is killed goes on."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student import label_engines
from frozen_det.upstream.noisy_student.label_engines import LabelJob, label_by_ray, static_share
from frozen_det.upstream.noisy_student.label_files import rows_path
from frozen_det.upstream.noisy_student.labelling import label_pool, load_teacher
from frozen_det.upstream.noisy_student.pool import open_pool
from frozen_det.weights.atomic_write import PARTIAL
from tests.engine.ranks import run_launches
from tests.upstream.fixres_runs import checkpoint_of, classifier_config
from tests.upstream.label_pools import write_images

NUM_IMAGES, PART = 120, 3


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Folder with a classifier, its weights, a pool with a broken image, and what one process says about it."""
    folder = tmp_path_factory.mktemp("label")
    write_images(folder / "pool", NUM_IMAGES, size=16)
    (folder / "pool" / "00" / "0004.png").write_bytes(b"no image at all")
    cfg = classifier_config(folder / "pool")
    cfg.dump(folder / "classifier.py")
    checkpoint_of(cfg, folder / "teacher.pth")
    assert main(arguments(folder, folder / "one")) == 0
    return folder


def arguments(folder, out, *more) -> list[str]:
    return [
        *("label", str(folder / "classifier.py"), str(folder / "teacher.pth"), "--pool", str(folder / "pool")),
        *("--out", str(out), "--part-size", str(PART), "--batch-size", "2", "--device", "cpu", *map(str, more)),
    ]


def contents(folder) -> dict:
    """All labels, and what says that they are finished; nothing else may be there but the plan and listings."""
    found = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix in (".logits", ".json")}
    found["undecodable"] = (folder / "undecodable.txt").read_text()
    found |= {path.name: pq.read_table(path).to_pylist() for path in Path(folder).glob("part-*.parquet")}
    assert not list(Path(folder).glob(".*"))
    return found


def rows_of(folder) -> list[dict]:
    return [row for path in sorted(Path(folder).glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_one_process_says_what_the_python_call_says(given, tmp_path):
    model, transform = load_teacher(str(given / "classifier.py"), given / "teacher.pth", "cpu")
    from frozen_det.upstream.noisy_student.label_stages import one_by_one

    pool = open_pool(dict(folder=str(given / "pool")))
    label_pool(model, pool, tmp_path / "out", batch_size=2, part_size=PART, transform=one_by_one(transform))
    assert contents(tmp_path / "out") == contents(given / "one")
    rows = rows_of(given / "one")
    assert len({row["id"] for row in rows}) == len(rows) == NUM_IMAGES
    assert sum(not row["decodes"] for row in rows) == 1


def test_static_shares_finish_with_the_last_one_whatever_their_order(given, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    for task in (7, 3):
        for name, value in dict(ID=task, COUNT=3, MIN=3, MAX=7, STEP=2).items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
        assert main(arguments(given, out, "--launcher", "slurm-array")) == 0
        assert not (out / "labels.json").exists() and "waits for parts" in capsys.readouterr().out
    assert main(arguments(given, out, "--rank", 1, "--world-size", 3)) == 0
    assert f"labels in {out}" in capsys.readouterr().out
    assert contents(out) == contents(given / "one")
    rows_path(out, 4).unlink()
    assert main(arguments(given, out, "--rank", 0, "--world-size", 3)) == 0  # part 4 is of share 1
    assert not rows_path(out, 4).exists() and "waits for parts" in capsys.readouterr().out


def test_shares_of_another_plan_do_not_finish_each_others(given, tmp_path, capsys):
    """Share 1 ends under new settings before share 0 has begun: the old parts of share 0 are no whole labels. So it is
    where only share 0 has something new, and share 1 finds all of its own parts there."""
    out = tmp_path / "out"
    assert main(arguments(given, out)) == 0
    more = ("--min-vector-confidence", 0.9, "--world-size", 2)
    assert main(arguments(given, out, *more, "--rank", 1)) == 0
    assert not (out / "labels.json").exists()
    assert main(arguments(given, out, *more, "--rank", 0)) == 0
    assert (out / "labels.json").exists()
    pool = shutil.copytree(given / "pool", tmp_path / "pool")
    command = [str(pool) if word == str(given / "pool") else word for word in arguments(given, tmp_path / "new")]
    assert main(command) == 0
    os.utime(pool / "00" / "0000.png")  # the first image of part 0
    capsys.readouterr()
    assert main([*command, "--rank", "1", "--world-size", "2", "--list-again"]) == 0
    said = capsys.readouterr().out
    assert "0 images in 0 parts" in said and "waits for parts" in said and not (tmp_path / "new/labels.json").exists()
    assert main([*command, "--rank", "0", "--world-size", "2"]) == 0
    assert "3 images in 1 parts" in capsys.readouterr().out and (tmp_path / "new/labels.json").exists()


def test_a_share_that_cannot_write_the_end_does_not_wait_for_others(given, tmp_path, capsys, monkeypatch):
    from frozen_det.errors import StorageError

    def full(out):
        raise StorageError("could not write labels.json: No space left on device.")

    monkeypatch.setattr(label_engines, "finish_labels", full)
    assert main(arguments(given, tmp_path / "out", "--rank", 0, "--world-size", 2)) == 2
    said = capsys.readouterr()
    assert "No space left" in said.err and "waits" not in said.out


def test_a_list_may_have_a_name_that_looks_like_a_range(given, tmp_path):
    names = tmp_path / "list{1}.txt"
    names.write_text("".join(f"{path}\n" for path in sorted((given / "pool").rglob("*.png"))[:4]))
    command = [str(names) if word == str(given / "pool") else word for word in arguments(given, tmp_path / "out")]
    assert main(command) == 0
    assert [row["path"] for row in rows_of(tmp_path / "out")] == names.read_text().split()


@pytest.mark.parametrize(
    "given_env", [{}, dict(RANK="0"), dict(RANK="0", WORLD_SIZE="x"), dict(RANK="2", WORLD_SIZE="2")]
)
def test_a_process_that_torchrun_did_not_start_is_refused_at_once(given, tmp_path, capsys, monkeypatch, given_env):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in dict(given_env, MASTER_ADDR="localhost", MASTER_PORT="1").items():
        monkeypatch.setenv(name, value)
    assert main(arguments(given, tmp_path / "out", "--launcher", "pytorch")) == 2
    assert (
        f"got RANK={given_env.get('RANK', '')}, WORLD_SIZE={given_env.get('WORLD_SIZE', '')},"
        in capsys.readouterr().err
    )


def test_local_processes_make_the_same_labels(given, tmp_path):
    assert main(arguments(given, tmp_path / "local", "--processes", 2)) == 0
    assert contents(tmp_path / "local") == contents(given / "one")


@pytest.mark.slow
def test_local_processes_end_with_the_one_that_hands_out_parts(given, tmp_path):
    command = arguments(given, tmp_path / "out", "--processes", 2)
    parent = subprocess.Popen([sys.executable, "-m", "frozen_det.cli", *command], stdout=subprocess.PIPE, text=True)
    told = next(line for line in parent.stdout if line.startswith("1 of "))
    with open(f"/proc/{parent.pid}/task/{parent.pid}/children", encoding="utf-8") as file:
        workers = [int(one) for one in file.read().split()]
    parent.kill()
    parent.wait()
    assert told.endswith(f"{PART} images\n") and len(workers) >= 2
    end = time.monotonic() + 20
    while left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, f"{left} wait for a process that is gone"
        time.sleep(0.1)


def test_torchruns_processes_make_the_same_labels(given, tmp_path):
    command = arguments(given, tmp_path / "ranks", "--launcher", "pytorch")
    (done,) = run_launches(tmp_path / "runs.json", [dict(world=2, commands=[command], limit_s=120)], dict(os.environ))
    assert done["codes"] == [0, 0], done["texts"]
    assert contents(tmp_path / "ranks") == contents(given / "one")
    said = f"{NUM_IMAGES} images in {NUM_IMAGES // PART} parts, 1 of them not readable; 0 parts were there"
    assert said in done["texts"][0] and said not in done["texts"][1]


def test_killed_in_the_middle_it_goes_on_and_makes_nothing_twice(given, tmp_path, capsys):
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "frozen_det.cli", *arguments(given, out)], cwd=Path(__file__).parents[3]
    )
    _wait_for_parts(out, 3, child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    there = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert 3 <= len(there) < NUM_IMAGES // PART
    assert main(arguments(given, out)) == 0
    assert f"{len(there)} parts were there" in capsys.readouterr().out
    assert contents(out) == contents(given / "one")
    assert {path: path.stat().st_mtime_ns for path in there} == there


def _wait_for_parts(out: Path, count: int, child=None, limit_s: float = 120) -> None:
    end = time.monotonic() + limit_s
    while len(list(out.glob("part-*.parquet"))) < count:
        assert time.monotonic() < end and (child is None or child.poll() is None)
        time.sleep(0.005)


def test_a_lost_process_and_other_weights_of_a_worker_are_one_error(given, tmp_path, capsys, monkeypatch):
    job = LabelJob(str(given / "classifier.py"), [dict(folder=str(given / "pool"))], str(tmp_path / "out"), part_size=3)
    part = open_pool(job.sources).parts(tmp_path, 3)[0]
    assert "expected the weights and settings that the labelling began with" in label_engines.label_one(
        job, part, "inputs", "made of other weights"
    )
    monkeypatch.setattr(label_engines, "label_one", _lost)
    assert main(arguments(given, tmp_path / "out", "--processes", 1)) == 2
    assert "one was lost" in capsys.readouterr().err


def _lost(*args):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--processes", "2", "--ray"], "expected one engine that labels, got --processes and --ray"),
        (["--processes", "1", "--batch-size", "0"], "expected batch_size from 1 on"),
        (["--processes", "1", "--top-k", "9"], "expected top_k from 1 to 3"),
        (["--processes", "0"], "expected a number of processes from 1 on, got 0"),
        (["--rank", "2", "--world-size", "2"], "R from 0 to W - 1, got 2 of 2"),
        (["--rank", "0"], "got 0 of None"),
        (["--launcher", "slurm-array"], "expected a task of a Slurm array"),
    ],
)
def test_bad_engines_are_one_line(given, tmp_path, capsys, more, words):
    assert main(arguments(given, tmp_path / "out", *more)) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.glob("out/part*"))


def test_an_array_with_tasks_left_out_is_refused():
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX", "STEP")]
    assert static_share(dict(zip(names, ["5", "3", "1", "5", "2"]))) == (2, 3)
    assert static_share(dict(zip(names[:4], ["0", "1", "0", "0"]))) == (0, 1)
    with pytest.raises(InputError, match="task 7 of 2 from 3 to 7: some are left out"):
        static_share(dict(zip(names, ["7", "2", "3", "7", "1"])))


def test_without_ray_the_extra_is_named(given, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(arguments(given, tmp_path / "out", "--ray")) == 2
    assert "pip install 'frozen-det[noisy-student,ray]'" in capsys.readouterr().err


@pytest.fixture
def cluster(monkeypatch):
    """A head without CPUs and three nodes of one; yields (cluster, nodes)."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False))
    try:
        yield found, [found.add_node(num_cpus=1) for _ in range(3)]
    finally:
        ray.shutdown()
        found.shutdown()


def _in_the_middle(nodes, out: Path):
    """A node whose worker is writing a part now, and that part's file."""
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in out.glob(".part-*.partial.parquet"):
            with contextlib.suppress(OSError):
                parent = int(Path(f"/proc/{PARTIAL.match(path.name)['pid']}/stat").read_text().split()[3])
                if parent in raylets:
                    return raylets[parent], path
        time.sleep(0.002)
    raise AssertionError("no node works")


def test_nodes_of_a_ray_cluster_are_killed_in_the_middle_and_nothing_is_lost_or_twice(given, tmp_path, cluster):
    """Two nodes of three are killed, each while it writes a part."""
    (ray_cluster, nodes), out, killed = cluster, tmp_path / "out", []
    cfg = classifier_config(given / "pool", model__backbone__depth=110)  # slow enough to be met in the middle
    cfg.dump(tmp_path / "classifier.py")
    checkpoint_of(cfg, tmp_path / "teacher.pth")
    job = LabelJob(
        *(str(tmp_path / "classifier.py"), [dict(folder=str(given / "pool"))], str(out)),
        checkpoint=str(tmp_path / "teacher.pth"),
        **dict(batch_size=2, part_size=PART, device="cpu"),
    )
    label_engines.label_here(dataclasses.replace(job, out=str(tmp_path / "one")))

    def log(line: str) -> None:
        if line.startswith(("4 of", "12 of")):
            node, path = _in_the_middle(nodes, out)
            ray_cluster.remove_node(node, allow_graceful=False)
            nodes.remove(node)
            killed.append((path.name, len(list(out.glob("part-*.parquet"))), path.exists()))

    done = label_by_ray(job, ray_cluster.address, log=log)
    print("part under way, whole parts, left behind:", killed)
    num_parts = NUM_IMAGES // PART
    assert len(killed) == 2 and killed[1][1] < num_parts and any(left for _, _, left in killed)
    assert (done.num_parts, done.num_skipped, done.num_images, done.num_undecodable) == (num_parts, 0, NUM_IMAGES, 1)
    rows = rows_of(out)
    assert len({row["id"] for row in rows}) == len(rows) == NUM_IMAGES
    assert label_by_ray(job, ray_cluster.address, log=log).num_skipped == num_parts
    assert contents(out) == contents(tmp_path / "one")  # what the killed left behind is gone, too
