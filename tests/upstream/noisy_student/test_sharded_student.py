"""A loop whose students read shards: killed within an epoch, by two processes, and what a change writes again."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from frozen_det.upstream.noisy_student.loop import run_noisy_student
from frozen_det.upstream.noisy_student.manifest import ManifestRecords

from ...engine import train_in_turn
from ...engine.ranks import run_launches
from ..image_sets import write_folder

pytestmark = [pytest.mark.slow, pytest.mark.distributed]
STUDENT = "round-1/student"


def loop(folder: Path, name: str, world: int = 1, hooks=(), **settings) -> list[str]:
    """One round on 12 labelled images and a pool of 24; 3 steps an epoch, a checkpoint after every one."""
    from frozen_det.config import load_config

    cfg = load_config("noisy_student/quick", {"data_root": str(folder / "data"), "labelling.part_size": 7})
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in settings.items()})
    one = cfg.rounds[0]
    one.options["train_dataloader.batch_size"] = 4 // world
    one.options["default_hooks.checkpoint"] = dict(type="frozen_det.LeanCheckpointHook", interval=1, by_epoch=False)
    kept = load_config(one.config).custom_hooks
    one.options["custom_hooks"] = [*kept, dict(type="frozen_det.RankStateHook"), *hooks]
    cfg.rounds, cfg.fixres = [dict(one, shards=dict(size=8, window=2))], None
    cfg.dump(folder / f"{name}.py")
    launcher = ["--launcher", "pytorch"] if world > 1 else []
    return ["noisy_student", str(folder / f"{name}.py"), "--work-dir", str(folder / name), *launcher]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    for split, count in (("train", 4), ("test", 2), ("pool", 8)):
        write_folder(
            folder / "data", dict(ash=count, birch=count, cedar=count), split=split, size=12 + (split == "pool")
        )
    # Four steps in, the second of the second epoch.
    dies = dict(type="frozen_det.SignalHook", rank=0, step=4, number=int(signal.SIGKILL), once=True)
    killed = loop(folder, "killed", hooks=[dies])
    teacher = str(folder / "whole" / "teacher" / "epoch_2.pth")
    launches = [
        dict(name="whole", world=1, commands=[loop(folder, "whole")]),
        dict(name="killed", world=1, commands=[killed]),
        dict(name="goes on", world=1, commands=[killed]),
        dict(name="two", world=2, commands=[loop(folder, "two", world=2, teacher__weights=teacher)]),
        dict(name="top", world=1, commands=[loop(folder, "top", teacher__weights=teacher, labelling__top_k=2)]),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return folder, {one["name"]: one for one in run_launches(folder / "launches.json", launches, env)}


def ended(ran, name: str, *codes: int) -> tuple[Path, list[str]]:
    folder, launches = ran
    texts = launches[name]["texts"]
    assert launches[name]["codes"] == list(codes), "\n".join(text[-3000:] for text in texts)
    return folder, texts


def test_killed_within_an_epoch_a_student_ends_as_one_that_was_not_bit_for_bit(ran):
    folder, _ = ended(ran, "whole", 0)
    ended(ran, "killed", -signal.SIGKILL)
    _, (said,) = ended(ran, "goes on", 0)
    assert "[round 1 student] goes on" in said and "[round 1 shards] reused" in said
    whole, resumed = (torch.load(folder / name / STUDENT / "rank0.pth") for name in ("whole", "killed"))
    assert len(whole["images"]) == 6 and resumed["images"] == whole["images"][4:]
    for part in ("end", "average"):
        assert whole[part].keys() == resumed[part].keys()
        assert all(torch.equal(value, resumed[part][name]) for name, value in whole[part].items())


def test_the_student_reads_the_shards_and_not_the_pool(ran):
    folder, (said,) = ended(ran, "whole", 0)
    shards = folder / "whole" / "round-1" / "shards"
    told = json.loads((shards / "shards.json").read_text())
    records = ManifestRecords(shards.parent / "manifest" / "manifest.parquet")
    assert told["num_images"] == len(records) and told["soft"] and "top_k" not in told
    assert f"[round 1 shards] {told['num_shards']} shards, 0 of them were there" in said
    assert told["num_shards"] == -(-len(records) // 8) == len(list(shards.glob("*.tar")))


def test_two_processes_write_the_shards_of_one_and_read_the_same_images_in_a_step(ran):
    folder, (_, second) = ended(ran, "two", 0, 0)
    one, two = (folder / name / "round-1" / "shards" for name in ("whole", "two"))
    told = [json.loads((shards / "shards.json").read_text()) for shards in (one, two)]
    assert told[0] == told[1] and "[round 1 shards]" not in second
    steps = [torch.load(folder / "two" / STUDENT / f"rank{rank}.pth")["images"] for rank in (0, 1)]
    alone = torch.load(folder / "whole" / STUDENT / "rank0.pth")["images"]
    assert [sorted(a + b) for a, b in zip(*steps)] == [sorted(step) for step in alone]


def test_top_k_labels_go_through_shards(ran):
    folder, _ = ended(ran, "top", 0)
    assert json.loads((folder / "top/round-1/shards/shards.json").read_text())["top_k"] == 2
    end = torch.load(folder / "top" / STUDENT / "rank0.pth")["end"]
    assert all(value.isfinite().all() for value in end.values())


def test_a_changed_window_trains_again_and_writes_nothing_again(ran, tmp_path):
    import shutil

    from frozen_det.config import load_config

    folder, _ = ended(ran, "whole", 0)
    shutil.copytree(folder / "whole", tmp_path / "loop")
    cfg = load_config(str(folder / "whole.py"))
    train_in_turn.register()
    cfg.rounds[0].shards.window, cfg.test, said = 3, False, []
    run_noisy_student(cfg, tmp_path / "loop", log=said.append)
    assert {line[1:].split("]")[0] for line in said if line.endswith("...")} == {
        "round 1 student",
        "round 1 agreement",
        "report",
    }
