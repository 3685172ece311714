"""Score thresholds travel in the checkpoints whose weights were validated, and in no other."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from frozen_det.engine.hooks.measured_thresholds import MeasuredThresholds
from frozen_det.errors import InputError
from frozen_det.evaluation.coco_metric import CocoMetric
from frozen_det.evaluation.evaluated_pass import read_pass
from frozen_det.weights.loading import read
from frozen_det.weights.thresholds import KEY, Thresholds

CLASSES = ("cat", "dog")


class OneBox(BaseModel):
    """Finds the cat of every image with the score 0.625, which it never unlearns, and a wrong dog with 0.25."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        if mode == "loss":
            self.seen += 1
            return {"loss": self.weight.square().sum()}
        found = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 30, 30], [50, 50, 60, 60]]),
            scores=torch.tensor([0.625, 0.25]),
            labels=torch.tensor([0, 1]),
        )
        for one in data_samples:
            one.pred_instances = found
        return data_samples


class Images(torch.utils.data.Dataset):
    metainfo = dict(classes=CLASSES)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        sample = DetDataSample(metainfo=dict(img_id=index + 1, ori_shape=(100, 100), img_path=f"{index + 1}.jpg"))
        return dict(inputs=torch.zeros(3, 4, 4), data_samples=sample)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "val.json"
    objects = [dict(id=n, image_id=n, category_id=4, bbox=[10, 10, 20, 20], area=400, iscrowd=0) for n in (1, 2)]
    content = {
        "images": [dict(id=n, file_name=f"{n}.jpg", height=100, width=100) for n in (1, 2)],
        "categories": [dict(id=9, name="dog"), dict(id=4, name="cat")],
        "annotations": objects,
    }
    path.write_text(json.dumps(content))
    return path


def run(work_dir, annotations, name, train_cfg, **checkpoint):
    loader = dict(dataset=Images(), batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    runner = Runner(
        model=OneBox(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg=train_cfg,
        val_cfg={},
        val_evaluator=[CocoMetric(ann_file=str(annotations))],
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(checkpoint=dict(type="frozen_det.LeanCheckpointHook", max_keep_ckpts=9, **checkpoint)),
        experiment_name=name,
        log_level="ERROR",
    )
    runner.train()
    return work_dir


@pytest.fixture(scope="module")
def by_epoch(tmp_path_factory, annotations):
    """Validated after the second and the third of three epochs of two steps."""
    cfg = dict(by_epoch=True, max_epochs=3, val_begin=2)
    work_dir = tmp_path_factory.mktemp("epochs")
    return run(work_dir, annotations, "epochs", cfg, interval=1, save_best="coco/bbox_mAP", rule="greater")


def stated(work_dir):
    return {path.name for path in work_dir.glob("*.pth") if KEY in read(path)["meta"]}


def test_the_best_and_the_last_state_what_their_validation_measured(by_epoch):
    """mmengine saves the second epoch's once more, as it then knows the best."""
    assert stated(by_epoch) == {"best_coco_bbox_mAP_epoch_2.pth", "epoch_2.pth", "epoch_3.pth"}
    for name in stated(by_epoch):
        assert read(by_epoch / name)["meta"][KEY] == {
            "overall": 0.62,
            "by_label": [0.62, None],
            "f1": 1.0,
            "precision": 1.0,
            "recall": 1.0,
            "num_objects": 2,
            "num_images": 2,
        }


def test_what_the_validations_of_both_saw_lies_beside_them(by_epoch):
    best, last = (read_pass(by_epoch / "detections" / name) for name in ("best.npz", "last.npz"))
    path = str(by_epoch / "best_coco_bbox_mAP_epoch_2.pth")
    assert best.facts == {"stage": "val", "iter": 4, "epoch": 2, "checkpoint": path}
    assert last.facts == {"stage": "val", "iter": 6, "epoch": 3, "checkpoint": str(by_epoch / "epoch_3.pth")}
    assert best.detections.scores.tolist() == [0.625, 0.25] * 2


def test_checkpoints_of_other_steps_than_the_newest_validation_state_nothing(tmp_path, annotations):
    cfg = dict(by_epoch=False, max_iters=5, val_interval=2)
    run(tmp_path, annotations, "steps", cfg, by_epoch=False, interval=1)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == [f"iter_{n}.pth" for n in range(1, 6)]
    assert stated(tmp_path) == {"iter_5.pth"}  # mmengine validates after the last step too


def test_writing_them_leaves_all_else_of_the_file_as_it_was(by_epoch, annotations, tmp_path):
    path = Path(shutil.copy(by_epoch / "epoch_1.pth", tmp_path))
    before = read(path)
    metric = CocoMetric(ann_file=str(annotations))
    metric.last = read_pass(by_epoch / "detections" / "last.npz")
    validated = SimpleNamespace(iter=4, epoch=2, rank=0, val_evaluator=SimpleNamespace(metrics=[metric]))
    measured = MeasuredThresholds()
    measured.validated(validated)
    measured.into_file(path)
    assert KEY not in read(path)["meta"]  # of other weights: its step is the second
    validated.iter = 2
    measured.validated(validated)
    measured.into_file(path)
    after = torch.load(path, weights_only=True)
    assert after["meta"].pop(KEY)["overall"] == 0.62
    assert after["meta"] == before["meta"] and list(after) == list(before)
    assert list(after["state_dict"]) == list(before["state_dict"])
    assert after["state_dict"]._metadata == before["state_dict"]._metadata
    assert all(torch.equal(value, before["state_dict"][name]) for name, value in after["state_dict"].items())
    assert (after["optimizer"], after["message_hub"]) == (before["optimizer"], before["message_hub"])


def meta(**changes):
    return {
        "meta": {
            KEY: {
                "overall": 0.5,
                "by_label": [0.4, None],
                "f1": 0.9,
                "precision": 0.8,
                "recall": 1.0,
                "num_objects": 3,
                "num_images": 2,
            }
            | changes
        }
    }


def test_they_are_read_by_the_names_of_the_classes():
    found = Thresholds.in_meta(meta(), CLASSES, "best.pth")
    assert (found.overall, dict(found.by_class)) == (0.5, {"cat": 0.4})
    assert found.to_meta(CLASSES) == meta()["meta"][KEY]
    assert Thresholds.in_meta({"meta": {}}, CLASSES, "best.pth") is None


@pytest.mark.parametrize(
    "changed", [{"by_label": [0.4]}, {"overall": "0.5"}, {"overall": float("nan")}, {"by_label": 3}, {"f1": None}]
)
def test_what_no_training_wrote_is_refused(changed):
    with pytest.raises(InputError, match="score thresholds of 2 classes in the meta of best.pth"):
        Thresholds.in_meta(meta(**changed), CLASSES, "best.pth")
