"""Classifiers, a round of Noisy Student and the tuning of FixRes by two processes, against one.

Without norms over the batch two processes equal one of the doubled batch. Batch norms normalise by their own process's
images; what they collect is averaged.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from frozen_det.weights.digest import fingerprint

from ..engine.ranks import run_launches
from . import classifier_runs, fixres_runs
from .image_sets import write_folder

TRANSFORMER = dict(
    type="timm", name="vit_tiny_patch16_224", img_size=12, patch_size=4, embed_dim=24, num_heads=2, depth=1
)
LAUNCHER = ["--launcher", "pytorch"]


def classifier(folder: Path, name: str, world: int, **options) -> list[str]:
    """`frozen-det train` of a classifier on 30 images, 8 in an update, its weights averaged."""
    path = folder / f"{name}-{world}.py"
    cfg = classifier_runs.tiny_config(
        folder / "trees", path.with_suffix(""), ema=True, train_dataloader__batch_size=8 // world, **options
    )
    cfg.custom_hooks.append(dict(type="frozen_det.RankStateHook"))
    if name == "still":
        cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.dump(path)
    return ["train", str(path), "--work-dir", cfg.work_dir, "--no-report", *(LAUNCHER if world > 1 else [])]


def loop(folder: Path, world: int) -> list[str]:
    """One round of the quick loop on 12 labelled images and a pool of 12."""
    from frozen_det.config import load_config

    cfg = load_config("noisy_student/quick", {"data_root": str(folder / "quick"), "labelling.part_size": 5})
    cfg.rounds = cfg.rounds[:1]
    cfg.fixres = None
    cfg.dump(folder / "loop.py")
    work = ["--work-dir", str(folder / "loop")]
    return ["noisy_student", str(folder / "loop.py"), *work, *(LAUNCHER if world > 1 else [])]


def tuning(folder: Path, world: int) -> list[str]:
    options = ["--test-size", "16", "--epochs", "1", "--lr", "0.1", "--sweep", "12", "20"]
    work = ["--work-dir", str(folder / f"tuned-{world}")]
    files = [str(folder / "small.py"), str(folder / "parent.pth")]
    return ["fixres", *files, *options, *work, *(LAUNCHER if world > 1 else [])]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder, and the launches by name."""
    folder = tmp_path_factory.mktemp("several")
    classifier_runs.tree_pictures(folder / "trees")
    write_folder(folder / "quick", dict(ash=4, birch=4, cedar=4), size=12)
    write_folder(folder / "quick", dict(ash=2, birch=2, cedar=2), split="test", size=12)
    write_folder(folder / "quick", dict(ash=4, birch=4, cedar=4), split="pool", size=13)
    cfg = fixres_runs.classifier_config(fixres_runs.pictures(folder / "sizes"))
    cfg.dump(str(folder / "small.py"))
    fixres_runs.checkpoint_of(cfg, folder / "parent.pth")
    launches = []
    for world in (1, 2):
        trainings = [
            classifier(folder, "still", world, epochs=1),
            classifier(folder, "transformer", world, epochs=1, model__backbone=TRANSFORMER),
            classifier(folder, "residual", world),
        ]
        launches.append(dict(name=f"classifiers-{world}", world=world, commands=trainings))
        launches.append(dict(name=f"fixres-{world}", world=world, commands=[tuning(folder, world)]))
    launches += [
        dict(name="loop", world=2, commands=[loop(folder, 2)]),
        dict(name="loop-again", world=1, commands=[loop(folder, 1)]),
        dict(name="loop-untold", world=2, commands=[loop(folder, 1)]),
        dict(name="chain", world=2, commands=[["chain", "chain/given-efficientnetlite0_faster-rcnn-fpn_toy"]]),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return folder, {one["name"]: one for one in run_launches(folder / "launches.json", launches, env)}


def ends(ran, name: str, world: int) -> list[dict]:
    folder, launches = ran
    texts = launches[f"classifiers-{world}"]["texts"]
    assert launches[f"classifiers-{world}"]["codes"] == [0] * world, "\n".join(text[-3000:] for text in texts)
    return [torch.load(folder / f"{name}-{world}" / f"rank{rank}.pth") for rank in range(world)]


def largest(found: dict, wanted: dict, part: str) -> float:
    """Largest difference of the entries of a name, over the largest value."""
    names = [name for name in wanted if part in name]
    off = max(float((found[name] - wanted[name]).abs().max()) for name in names)
    return off / max(float(wanted[name].abs().max()) for name in names)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("name", ["still", "transformer", "residual"])
def test_both_processes_end_with_the_same_bits_of_weights_statistics_and_averages(ran, name):
    first, second = ends(ran, name, 2)
    for part in ("end", "average"):
        assert fingerprint(first[part]).digest == fingerprint(second[part]).digest
    (alone,) = ends(ran, name, 1)
    joined = [sorted(a + b) for a, b in zip(first["images"], second["images"])]
    assert joined == [sorted(step) for step in alone["images"]] and len(joined[-1]) == 6


@pytest.mark.slow
@pytest.mark.distributed
def test_without_batch_norms_two_processes_equal_one(ran):
    several, alone = ends(ran, "transformer", 2)[0], ends(ran, "transformer", 1)[0]
    for part in ("end", "average"):
        for name, value in alone[part].items():
            torch.testing.assert_close(several[part][name], value, rtol=1e-5, atol=1e-6)
    moved = max(float((value - alone["start"][name]).abs().max()) for name, value in alone["end"].items())
    assert moved > 1e-3


@pytest.mark.slow
@pytest.mark.distributed
def test_averaged_statistics_of_the_same_weights_are_those_of_one_process(ran):
    """The first norm's mean exactly; what comes later was normalised by other images, and the variance leaves out how
    the means differ. The EMA's own statistics are averaged as well."""
    several, alone = ends(ran, "still", 2)[0], ends(ran, "still", 1)[0]
    for part in ("end", "average"):
        assert largest(several[part], alone[part], "network.bn1.running_mean") < 1e-6
        assert largest(several[part], alone[part], "running_mean") < 0.2
        assert largest(several[part], alone[part], "running_var") < 0.2
        start = alone["start"]["network.bn1.running_mean"]
        assert not torch.equal(alone[part]["network.bn1.running_mean"], start)


@pytest.mark.slow
@pytest.mark.distributed
def test_a_round_of_noisy_student_by_two_processes_is_one_loop(ran):
    folder, launches = ran
    assert launches["loop"]["codes"] == [0, 0], "\n".join(text[-3000:] for text in launches["loop"]["texts"])
    first, second = launches["loop"]["texts"]
    for stage in ("teacher", "round 1 labels", "round 1 selection", "round 1 student", "test student-1", "report"):
        assert first.count(f"[{stage}] ...") == 1 and f"[{stage}]" not in second
    parts = sorted((folder / "loop" / "round-1" / "labels").glob("part-*.parquet"))
    assert len(parts) == 3 and "12 images in 3 parts" in first  # of five images each, shared by the two
    summary = json.loads((folder / "loop" / "round-1" / "manifest" / "manifest.json").read_text())
    assert sum(row["labelled"] for row in summary["per_class"]) == 12
    assert (folder / "loop" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.distributed
def test_what_two_processes_did_one_reuses(ran):
    launch = ran[1]["loop-again"]
    assert launch["codes"] == [0]
    assert [line for line in launch["texts"][0].splitlines() if line.endswith("] ...")] == ["[report] ..."]


@pytest.mark.slow
@pytest.mark.distributed
def test_fixres_by_two_processes_measures_as_one_and_moves_the_same(ran):
    folder, launches = ran
    for world in (1, 2):
        texts = launches[f"fixres-{world}"]["texts"]
        assert launches[f"fixres-{world}"]["codes"] == [0] * world, "\n".join(text[-3000:] for text in texts)
    assert "top-1" in launches["fixres-2"]["texts"][0] and "top-1" not in launches["fixres-2"]["texts"][1]
    alone, several = (json.loads((folder / f"tuned-{world}" / "fixres.json").read_text()) for world in (1, 2))
    assert several["moved"] == alone["moved"] and several["frozen_digest"] == alone["frozen_digest"]
    for one, other in zip(several["before"], alone["before"], strict=True):
        assert one["top1"] == other["top1"] and one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["pooled"]["mean"] == pytest.approx(other["pooled"]["mean"], rel=1e-5)
    for one, other in zip(several["rows"], alone["rows"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.1)  # tuned: the last norm saw other batches


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(
    ("name", "words"), [("loop-untold", "add --launcher pytorch"), ("chain", "start it without torchrun")]
)
def test_processes_that_do_not_know_of_each_other_are_refused_in_one_line(ran, name, words):
    launch = ran[1][name]
    assert launch["codes"] == [2, 2]
    for text in launch["texts"]:
        (line,) = [line for line in text.splitlines() if line.startswith("frozen-det")]
        assert "expected one process of" in line and "got 2 of torchrun" in line and line.endswith(f"{words}.")
