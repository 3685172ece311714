"""Two processes by torchrun end with the same weights, and with those of one process that had the doubled batch.

The equality with one process needs a loss whose normalisers are averaged over processes and nothing that is drawn:
FCOS is such a detector. Faster R-CNN draws its samples by process and trains BatchNorms here, so only its processes
are compared with each other.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from frozen_det.weights.digest import fingerprint

from ..training_runs import tiny_scenes
from .process_configs import BACKBONES, FCOS, write_config, write_weights
from .train_in_turn import train_in_turn

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """What the ranks of all runs ended with, by name and rank; the file of each backbone, by its name."""
    folder = tmp_path_factory.mktemp("two_processes")
    tiny_scenes(folder / "scenes")
    write_weights(folder)
    two = [write_config(folder, f"two-{body}", body, 2, FCOS) for body in BACKBONES]
    two.append(write_config(folder, "two-faster-rcnn", "timm-resnet", 2, None))
    one = [write_config(folder, f"one-{body}", body, 4, FCOS) for body in BACKBONES]
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        "-m",
        "tests.engine.train_in_turn",
        "pytorch",
        *map(str, two),
    ]
    done = subprocess.run(
        launch,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert train_in_turn("none", one) == 0
    torch.set_num_threads(threads)
    files = {body: folder / f"{body}.pth" for body in BACKBONES}
    files |= {file.parent.name + file.stem[-1]: file for file in folder.glob("*/rank*.pth")}
    return {name: torch.load(file) for name, file in files.items()}


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("run", [*BACKBONES, "faster-rcnn"])
def test_both_processes_end_with_the_same_bits(ends, run):
    """All parameters and all buffers, those of the norms in Faster R-CNN's FPN included."""
    first, second = ends[f"two-{run}0"], ends[f"two-{run}1"]
    assert fingerprint(first["end"]).digest == fingerprint(second["end"]).digest
    assert fingerprint(first["end"]).digest != fingerprint(first["start"]).digest
    assert first["wrapper"] == "MMDistributedDataParallel" and first["find_unused"] is False


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("body", BACKBONES)
def test_two_processes_equal_one_with_the_doubled_batch(ends, body):
    first, second, alone = ends[f"two-{body}0"], ends[f"two-{body}1"], ends[f"one-{body}0"]
    assert [sorted(a + b) for a, b in zip(first["images"], second["images"])] == [sorted(c) for c in alone["images"]]
    assert len(alone["images"]) == 6 and all(len(step) == 4 for step in alone["images"])
    assert fingerprint(first["start"]).digest == fingerprint(alone["start"]).digest
    for name, value in alone["end"].items():
        torch.testing.assert_close(first["end"][name], value, rtol=1e-6, atol=1e-6, msg=lambda text, at=name: at + text)
    moved = max(
        float((value - alone["start"][name]).abs().max())
        for name, value in alone["end"].items()
        if value.is_floating_point()
    )
    assert moved > 1e-2  # ten thousand times the tolerance


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("body", BACKBONES)
def test_the_frozen_backbone_is_the_file_it_was_loaded_from(ends, body):
    for run in (f"two-{body}0", f"two-{body}1", f"one-{body}0"):
        inside = {
            name.removeprefix("backbone.body."): value
            for name, value in ends[run]["end"].items()
            if name.startswith("backbone.body.")
        }
        assert fingerprint(inside).digest == fingerprint(ends[body]).digest


def test_without_a_gpu_the_synchronised_norms_are_left_out_aloud(capsys, monkeypatch):
    from mmengine.config import Config

    from frozen_det.engine.training import set_launcher

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = Config(dict(sync_bn="torch"))
    set_launcher(cfg, "none")
    assert cfg.sync_bn == "torch"
    set_launcher(cfg, "slurm")
    assert cfg.get("sync_bn") is None and "sync_bn is left out" in capsys.readouterr().out
