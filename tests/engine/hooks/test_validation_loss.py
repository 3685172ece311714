"""The validation loss is the training's loss on the validation images, and leaves the training as it is."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from frozen_det.engine.hooks.validation_loss import annotated
from frozen_det.errors import InputError
from frozen_det.weights.loading import read
from tests.training_runs import tiny_config, tiny_scenes, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training with the hook and without."""
    scenes = tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")
    folders = {}
    for name in ("with", "without"):
        cfg = tiny_config(scenes, tmp_path_factory.mktemp(name))
        if name == "with":
            cfg.visualizer.vis_backends = [*cfg.visualizer.vis_backends, dict(type="TensorboardVisBackend")]
        # Trained norms and random regions: what a careless pass would move.
        cfg.model.detector.neck.norm_cfg = dict(type="BN")
        cfg.custom_hooks = [dict(type="frozen_det.FrozenProofHook")]
        if name == "with":
            cfg.custom_hooks = [*cfg.custom_hooks, dict(type="frozen_det.ValidationLossHook")]
        folders[name] = cfg.work_dir, train(cfg)
    return folders


def test_the_training_is_bit_by_bit_the_one_without(runs):
    first, second = (read(f"{runs[name][0]}/epoch_2.pth") for name in ("with", "without"))
    assert any("running_mean" in name for name in first["state_dict"])
    assert first["state_dict"].keys() == second["state_dict"].keys()
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())


def test_it_is_logged_at_each_validation_with_its_parts(runs):
    (path,) = Path(runs["with"][0]).glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = [line for line in lines if "val_loss/loss" in line]
    assert len(found) == 2 and all("coco/bbox_mAP" in line for line in found)
    parts = ("loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox")
    assert found[0]["val_loss/loss"] == pytest.approx(sum(found[0][f"val_loss/{part}"] for part in parts), rel=1e-5)


def test_tensorboard_has_it_at_each_validation(runs):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (events,) = Path(runs["with"][0]).glob("*/vis_data/events.out.*")
    found = accumulator.EventAccumulator(str(events)).Reload().Scalars("val_loss/loss")
    (path,) = Path(runs["with"][0]).glob("*/vis_data/scalars.json")
    logged = [json.loads(line) for line in path.read_text().splitlines()]
    wanted = [line["val_loss/loss"] for line in logged if "val_loss/loss" in line]
    assert [one.value for one in found] == pytest.approx(wanted, rel=1e-6)


def test_boxes_are_resized_with_their_images(runs):
    runner = runs["with"][1]
    loader = dict(annotated(runner.cfg.val_dataloader), batch_size=1)
    for step in loader["dataset"]["pipeline"]:
        if step["type"] == "Resize":
            step["scale"] = (48, 48)
    with DefaultScope.overwrite_default_scope("mmdet"):
        sample = next(iter(runner.build_dataloader(loader)))["data_samples"][0]
    given = json.loads(Path(runner.cfg.val_evaluator.ann_file).read_text())["annotations"]
    first = next(one["bbox"] for one in given if one["image_id"] == sample.img_id)
    box = torch.as_tensor(sample.gt_instances.bboxes.tensor[0])
    assert torch.allclose(box[:2], torch.tensor(first[:2]) / 2, atol=1e-4)


@pytest.mark.parametrize(
    "loader, words",
    [
        (None, "expected val_dataloader"),
        (dict(dataset=dict(pipeline=[dict(type="LoadImageFromFile")])), "loads an image and its annotations"),
    ],
)
def test_data_without_annotations_are_refused_before_the_training(loader, words):
    with pytest.raises(InputError, match=words):
        annotated(loader)
