"""Detectors of three kinds by one, two and four processes: equal to one process, uneven and empty batches, lost ranks.

Every case has images without objects, so that ranks get batches of nothing. What is drawn by process is not here
(:mod:`.test_two_processes`), nor what mmdet counts by process: an average of objects is at least one in each,
so images have four where there are four processes.
"""

import copy
import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from frozen_det.weights.digest import fingerprint

from ..training_runs import tiny_scenes
from .process_configs import FCOS, QUERIES, TWO_STAGE, write_config, write_weights
from .ranks import run_launches

ADAPTERS = dict(type="parallel")
# name: (detector, adapters, epoch from which the last stage trains, images, numbers of processes).
CASES = {
    "two-stage": (TWO_STAGE, None, None, 8, (1, 2)),
    "two-stage-adapters": (TWO_STAGE, ADAPTERS, None, 8, (1, 4)),
    "dense": (FCOS, None, None, 10, (1, 2)),
    "dense-adapters": (FCOS, ADAPTERS, None, 8, (1, 2)),
    "dense-unfreezing": (FCOS, None, 1, 8, (1, 4)),
    "queries": (QUERIES, None, None, 8, (1, 2)),
    "queries-adapters": (QUERIES, ADAPTERS, None, 8, (1, 4)),
}
# Ten images in steps of four end with a step of two: a batch of one in each of two processes.
SEVERAL = [(name, world) for name, case in CASES.items() for world in case[-1] if world > 1]
# Largest difference of an entry. mmdet's RPN counts an image without positives as one with one, in its own process.
LIMITS = {"two-stage": 2e-4, "two-stage-adapters": 2e-4}
EMPTY = (1, 2, 3, 5, 7)


def write_case(folder: Path, name: str, world: int) -> Path:
    detector, adapters, unfreeze, images, _ = CASES[name]
    path = write_config(folder, f"{name}-{world}", "timm-resnet", 4 // world, detector)
    cfg = Config.fromfile(path)
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint.interval = 2
    cfg.train_dataloader.dataset.update(
        ann_file=f"annotations/some-{images}.json", filter_cfg=dict(filter_empty_gt=False)
    )
    if detector is QUERIES:
        cfg.model.detector.backbone.strides = (32,)
    if adapters is not None:
        cfg.model.detector.backbone.adapters = {**adapters, "start_stage": 1 if detector is QUERIES else 2}
    if unfreeze is not None:
        cfg.custom_hooks.insert(
            0, dict(type="frozen_det.UnfreezeHook", epoch=unfreeze, what=["layer4.*.conv?.weight"], lr_mult=1.0)
        )
    cfg.dump(path)
    return path


def write_scenes(folder: Path) -> None:
    """Ten images, five of them without objects; the first eight of them."""
    tiny_scenes(folder / "scenes", num_train=10, num_objects=(4, 7))
    annotations = folder / "scenes" / "annotations"
    truth = json.loads((annotations / "train.json").read_text())
    for count in (8, 10):
        kept = copy.deepcopy(truth)
        kept["images"] = truth["images"][:count]
        full = {image["id"] for number, image in enumerate(kept["images"]) if number not in EMPTY}
        kept["annotations"] = [one for one in truth["annotations"] if one["image_id"] in full]
        (annotations / f"some-{count}.json").write_text(json.dumps(kept))


def train(config: Path, world: int) -> list[str]:
    launcher = ["--launcher", "pytorch"] if world > 1 else []
    return ["train", str(config), "--work-dir", str(config.with_suffix("")), "--no-report", *launcher]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The launches, by name, and what each rank of each case ended with, by name, number of processes and rank."""
    folder = tmp_path_factory.mktemp("several")
    write_scenes(folder)
    write_weights(folder)
    # timm begins with residual branches that end in a norm of zero: nothing in them would get a gradient.
    weights = torch.load(folder / "timm-resnet.pth")
    torch.save(
        {key: torch.ones_like(v) if key.endswith("bn2.weight") else v for key, v in weights.items()},
        folder / "timm-resnet.pth",
    )
    configs = {(name, world): write_case(folder, name, world) for name, case in CASES.items() for world in case[-1]}
    launches = [
        dict(name=str(world), world=world, commands=[train(path, w) for (_, w), path in configs.items() if w == world])
        for world in (1, 2, 4)
    ]
    for name, number, options in (
        ("killed", 9, dict(limit_s=20)),
        ("stopped", 19, dict(limit_s=30, stopped=1)),
    ):
        path = write_config(folder, name, "timm-resnet", 2, FCOS)
        cfg = Config.fromfile(path)
        cfg.custom_hooks.append(dict(type="frozen_det.SignalHook", rank=1, step=3, number=number))
        cfg.env_cfg = dict(dist_cfg=dict(backend="gloo", timeout=3))
        cfg.dump(path)
        launches.append(dict(name=name, world=2, commands=[train(path, 2)], **options))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    found = {one["name"]: one for one in run_launches(folder / "launches.json", launches, env)}
    for world in ("1", "2", "4"):
        assert set(found[world]["codes"]) == {0}, "\n".join(text[-3000:] for text in found[world]["texts"])
    ends = {
        (name, world): [torch.load(path.with_suffix("") / f"rank{rank}.pth") for rank in range(world)]
        for (name, world), path in configs.items()
    }
    return found, ends


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("name", "world"), SEVERAL)
def test_all_processes_end_with_the_same_bits(ran, name, world):
    ends = ran[1][name, world]
    digests = {fingerprint(one["end"]).digest for one in ends}
    assert len(digests) == 1 and digests != {fingerprint(ends[0]["start"]).digest}
    assert all(one["wrapper"] == "MMDistributedDataParallel" and one["find_unused"] is False for one in ends)
    steps = list(zip(*(one["images"] for one in ends)))
    empty = {number + 1 for number in EMPTY}
    assert any(set(batch) <= empty for step in steps for batch in step)  # a rank with nothing to find
    assert any(not set(sum(step, [])) <= empty for step in steps)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("name", "world"), SEVERAL)
def test_processes_equal_one_with_their_batches_joined(ran, name, world):
    several, (alone,) = ran[1][name, world], ran[1][name, 1]
    joined = [sorted(sum(step, [])) for step in zip(*(one["images"] for one in several))]
    assert joined == [sorted(step) for step in alone["images"]]
    assert {len(step) for step in joined} == ({4, 2} if name == "dense" else {4})
    off = {key: float((several[0]["end"][key] - value).abs().max()) for key, value in alone["end"].items()}
    assert max(off.values()) < LIMITS.get(name, 1e-6), max(off, key=off.get)
    moved = {key: float((value - alone["start"][key]).abs().max()) for key, value in alone["end"].items()}
    assert max(moved.values()) > 1e-3
    in_backbone = max(distance for key, distance in moved.items() if key.startswith("backbone."))
    assert in_backbone > 1e-5 if name.endswith(("adapters", "unfreezing")) else in_backbone == 0


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("name", ["killed", "stopped"])
def test_of_a_lost_process_the_others_tell_in_one_line_and_end(ran, name):
    """One that was killed is noticed at once, one that stops answering after env_cfg.dist_cfg.timeout."""
    launch = ran[0][name]
    assert launch["codes"] == [1, -9 if name == "killed" else None]
    last = launch["texts"][0].strip().splitlines()[-1]
    assert last.startswith("frozen-det train: another process of this run is gone (") and "resumes from" not in last
    assert "Traceback" not in launch["texts"][0] and launch["seconds"] < 20
