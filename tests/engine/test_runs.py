"""Runs of one process keep apart what they write."""

import logging
import time
from types import SimpleNamespace

import pytest
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from frozen_det.engine.hooks.lean_checkpoint import LeanCheckpointHook
from frozen_det.engine.runs import new_runner, pin_where_a_gpu_reads
from frozen_det.errors import StorageError


@pytest.mark.parametrize("kind", [Visualizer, DetLocalVisualizer])
def test_two_runs_of_one_visualizers_name_write_into_their_own_folders(kind, tmp_path, monkeypatch):
    def build(cfg):
        visualizer = kind.get_instance(
            cfg.visualizer.name, vis_backends=[dict(type="LocalVisBackend")], save_dir=cfg.work_dir
        )
        return SimpleNamespace(
            visualizer=visualizer,
            hooks=[LeanCheckpointHook()],
            logger=logging.getLogger("quiet"),
            register_hook=lambda *given, **options: None,
        )

    monkeypatch.setattr(Runner, "from_cfg", build)
    for run in ("first", "second"):
        cfg = Config(dict(work_dir=str(tmp_path / run), visualizer=dict(type="Visualizer", name="visualizer")))
        visualizer = new_runner(cfg).visualizer
        visualizer.add_scalar("loss", 1.0, step=1)
        assert kind.get_current_instance() is visualizer
    for run in ("first", "second"):
        assert len(list((tmp_path / run).rglob("*.json"))) == 1


def test_a_run_that_follows_within_the_same_second_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    def build(cfg):
        folder = tmp_path / time.strftime("%Y%m%d_%H%M%S")
        folder.mkdir()
        return SimpleNamespace(
            folder=folder,
            hooks=[LeanCheckpointHook()],
            logger=logging.getLogger("quiet"),
            register_hook=lambda *given, **options: None,
        )

    monkeypatch.setattr(Runner, "from_cfg", build)
    first, second = (new_runner(Config(dict(work_dir=str(tmp_path)))) for _ in range(2))
    assert first.folder != second.folder


def test_a_disk_that_is_full_at_the_first_line_of_the_log_is_one_line(tmp_path, monkeypatch, capfd):
    def build(cfg):
        log = logging.getLogger("begins")
        log.addHandler(logging.FileHandler(tmp_path / "a.log"))
        log.warning("the first line")

    monkeypatch.setattr(Runner, "from_cfg", build)
    monkeypatch.setattr(logging.FileHandler, "_open", lambda handler: open("/dev/full", "w"))  # noqa: SIM115
    try:
        with pytest.raises(StorageError, match="could not write .*a.log: No space left on device"):
            new_runner(Config(dict(work_dir=str(tmp_path))))
    finally:
        logging.getLogger("begins").handlers[0].stream = None
        logging.getLogger("begins").handlers.clear()
    assert "Traceback" not in capfd.readouterr().err
    assert "handleError" not in vars(logging.FileHandler)


@pytest.mark.parametrize(("gpu", "pinned"), [(True, [True, False, True]), (False, [None, False, False])])
def test_batches_are_pinned_for_a_gpu_alone_and_as_the_config_says(monkeypatch, gpu, pinned):
    """Without a GPU, torch warns of a loader that pins."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    loaders = dict(
        train_dataloader=dict(batch_size=2),
        val_dataloader=dict(pin_memory=False),
        test_dataloader=dict(pin_memory=True),
    )
    cfg = Config(loaders)
    pin_where_a_gpu_reads(cfg)
    assert [cfg[name].get("pin_memory") for name in loaders] == pinned
    pin_where_a_gpu_reads(Config(dict(train_dataloader=None)))


def test_cudnn_measures_where_images_have_one_size_and_there_are_no_regions():
    from frozen_det.config import load_config

    for name, measures in {
        "detection/retinanet_frozen-resnetrs101_fpn_lsj-72e_coco": True,
        "upstream/resnet50_rsb-a2_imagenet1k": True,
        "smoke/cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy": False,
    }.items():
        assert load_config(name).env_cfg.cudnn_benchmark is measures
