"""The same images at every validation, on disk and in the backends, in a real Runner."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from PIL import Image

from frozen_det.engine import ValidationPicturesHook
from frozen_det.engine.hooks.validation_pictures import predictions_of, spread_over, truth_of
from frozen_det.errors import InputError


@MODELS.register_module(force=True)
class OneBoxDetector(BaseModel):
    """Predicts one sure and one unsure box in every image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        from mmengine.structures import InstanceData

        if mode == "loss":
            return {"loss": self.weight.sum()}
        for sample in data_samples:
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[10.0, 10, 60, 60], [0, 0, 5, 5]]),
                scores=torch.tensor([0.9, 0.1]),
                labels=torch.tensor([0, 1]),
            )
        return data_samples


@pytest.fixture
def data(tmp_path):
    """Ten images of 120 x 80 px; every second has an object."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(10):
        Image.fromarray(np.full((80, 120, 3), 20 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number + 100, "width": 120, "height": 80, "file_name": f"{number}.png"})
        if number % 2:
            annotations.append(
                {
                    "id": number,
                    "image_id": number + 100,
                    "category_id": 1,
                    "bbox": [10, 10, 50, 50],
                    "area": 2500,
                    "iscrowd": 0,
                    "segmentation": [[10, 10, 60, 10, 60, 60]],
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return tmp_path


def run(data, epochs: int = 2, **hook) -> Runner:
    pipeline = [
        dict(type="mmdet.LoadImageFromFile"),
        dict(type="mmdet.LoadAnnotations", with_bbox=True),
        dict(type="mmdet.PackDetInputs"),
    ]
    loader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(
            type="mmdet.CocoDataset",
            ann_file=str(data / "truth.json"),
            data_prefix=dict(img=str(data / "images")),
            pipeline=pipeline,
            test_mode=True,
            metainfo=dict(classes=("ant", "bee")),
        ),
    )
    runner = Runner.from_cfg(
        Config(
            dict(
                model=dict(type="OneBoxDetector"),
                work_dir=str(data / "work"),
                train_dataloader=loader,
                val_dataloader=loader,
                val_evaluator=dict(type="frozen_det.CocoMetric", ann_file=str(data / "truth.json")),
                train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
                val_cfg=dict(),
                optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)),
                default_hooks=dict(logger=dict(type="LoggerHook", interval=1000), checkpoint=None),
                custom_hooks=[dict(type="frozen_det.ValidationPicturesHook", **hook)],
                default_scope="mmengine",
                experiment_name=data.name,
                visualizer=dict(
                    type="Visualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
                ),
            )
        )
    )
    runner.train()
    return runner


def test_every_validation_draws_the_same_images_into_its_own_folder(data):
    run(data, num_images=3)
    folders = sorted((data / "work" / "pictures").iterdir())
    assert [folder.name for folder in folders] == ["epoch_001", "epoch_002"]
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1] == ["00_1.jpg", "01_3.jpg", "02_7.jpg", "index.json"]
    index = json.loads((folders[1] / "index.json").read_text())
    assert index["epoch"] == 2 and index["score_threshold"] == 0.3
    assert [(one["img_id"], one["num_objects"], one["num_predictions"]) for one in index["pictures"]] == [
        (101, 1, 1),
        (103, 1, 1),
        (107, 1, 1),
    ]
    picture = np.asarray(Image.open(folders[0] / "02_7.jpg")).astype(int)
    assert picture.shape == (360, 2 * 540 + 8, 3)
    assert abs(picture[330, 30] - 140).max() < 6  # image 7 is grey 140
    # The detector has no masks, so the truth is drawn without them too.
    np.testing.assert_allclose(picture[100, 200], picture[100, 548 + 200], atol=6)


def test_truth_has_masks_where_the_detector_has_them():
    info = {"instances": [{"bbox": [1, 1, 9, 9], "bbox_label": 0, "mask": [[1, 1, 9, 1, 9, 9, 1, 9]]}]}
    assert truth_of(info, (10, 10)).masks[0].sum() == 64
    assert truth_of(info, (10, 10), with_masks=False).masks is None
    assert truth_of({"instances": []}, (10, 10)).boxes_xyxy.shape == (0, 4)


def test_tensorboard_gets_the_pictures_and_the_disk_no_second_copy(data, monkeypatch):
    from mmengine.visualization import LocalVisBackend
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(LocalVisBackend, "add_image", lambda *args, **kwargs: pytest.fail("a second copy"))
    runner = run(data, epochs=2, num_images=2)
    events = EventAccumulator(str(next((data / "work").glob("*/vis_data/events*")).parent), {"images": 0})
    events.Reload()
    assert sorted(events.Tags()["images"]) == ["validation/1", "validation/5"]
    assert [image.step for image in events.Images("validation/1")] == [1, 2]
    assert runner.epoch == 2


def test_images_are_spread_evenly_and_those_with_objects_go_first():
    class Set:
        def __init__(self, with_objects):
            self.with_objects = with_objects

        def __len__(self):
            return 100

        def get_data_info(self, index):
            return {"img_id": index, "instances": [1] if index in self.with_objects else []}

    assert [info["img_id"] for info in spread_over(Set({30, 31, 99}), 4)] == [0, 30, 50, 99]
    assert [info["img_id"] for info in spread_over(Set(range(100)), 4)] == [0, 25, 50, 75]
    assert len(spread_over(Set(set()), 1000)) == 100


def test_the_best_predictions_from_the_threshold_on_are_drawn():
    from mmengine.structures import InstanceData

    found = predictions_of(
        InstanceData(
            bboxes=torch.arange(16.0).reshape(4, 4),
            scores=torch.tensor([0.2, 0.9, 0.4, 0.5]),
            labels=torch.tensor([0, 1, 2, 3]),
        ),
        0.4,
        2,
    )
    assert found.labels.tolist() == [1, 3] and found.boxes_xyxy[1].tolist() == [12, 13, 14, 15]


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match="num_images from 1"):
        ValidationPicturesHook(num_images=0)
    with pytest.raises(InputError, match="score_threshold from 0 to 1"):
        ValidationPicturesHook(score_threshold=30)


def test_the_interval_counts_validations(data):
    run(data, epochs=3, num_images=1, interval=2)
    assert sorted(path.name for path in (data / "work" / "pictures").iterdir()) == ["epoch_001", "epoch_003"]
