"""Runs of one process keep apart what they write."""

import time

import pytest
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from frozen_det.engine.runs import new_runner


@pytest.mark.parametrize("kind", [Visualizer, DetLocalVisualizer])
def test_two_runs_of_one_visualizers_name_write_into_their_own_folders(kind, tmp_path, monkeypatch):
    def build(cfg):
        return kind.get_instance(cfg.visualizer.name, vis_backends=[dict(type="LocalVisBackend")],
                                 save_dir=cfg.work_dir)

    monkeypatch.setattr(Runner, "from_cfg", build)
    for run in ("first", "second"):
        cfg = Config(dict(work_dir=str(tmp_path / run), visualizer=dict(type="Visualizer", name="visualizer")))
        visualizer = new_runner(cfg)
        visualizer.add_scalar("loss", 1.0, step=1)
        assert kind.get_current_instance() is visualizer
    for run in ("first", "second"):
        assert len(list((tmp_path / run).rglob("*.json"))) == 1


def test_a_run_that_follows_within_the_same_second_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    def build(cfg):
        folder = tmp_path / time.strftime("%Y%m%d_%H%M%S")
        folder.mkdir()
        return folder

    monkeypatch.setattr(Runner, "from_cfg", build)
    first, second = (new_runner(Config(dict(work_dir=str(tmp_path)))) for _ in range(2))
    assert first != second
