"""Activation maps of a network that looks where it should; linear heads and neighbours with known answers."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from frozen_det.errors import InputError
from frozen_det.robustness.features import (
    feature_maps,
    finer_last_stage,
    fit_linear,
    mapped_layer,
    nearest_neighbours,
    pooled_features,
)
from frozen_det.robustness.wsol import read_boxed, study_wsol
from frozen_det.upstream.stored_network import linear_head

from .study_networks import classifier, images_of


class Colours(nn.Module):
    """Class 0: red, 1: green, each at the place where it is; stride 4, the mean of the maps into a linear layer."""

    def __init__(self):
        super().__init__()
        self.early = nn.AvgPool2d(2)
        self.late = nn.Conv2d(3, 3, 2, 2, bias=False)
        self.late.weight.data = torch.eye(3)[:, :, None, None].expand(-1, -1, 2, 2) / 4
        self.head = nn.Linear(3, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0, 0, -1], [0, 1, -1]])

    def forward(self, images):
        return self.head(self.late(self.early(images)).mean((2, 3)))


def data(root, size=(64, 128), boxes=((40, 16, 24, 32), (64, 0, 32, 32))):
    """Red and green rectangles, one blue image with both; boxes in the images' own pixels."""
    content = {"train": [], "val": []}
    for split in content:
        (root / "images").mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for number, (name, box) in enumerate([("red", boxes[0]), ("green", boxes[1]), ("red", None)]):
            pixels = np.zeros((*size, 3), np.uint8)
            for x, y, w, h in [box] if box else [(40, 16, 8, 8)]:
                pixels[y : y + h, x : x + w, int(name == "green")] = 255
            file = f"{split}{number}.png"
            Image.fromarray(pixels).save(root / "images" / file)
            images.append(dict(id=number, file_name=file, height=size[0], width=size[1]))
            annotations.append(dict(image_id=number, category_id=1 + (name == "green"), bbox=box or [40, 16, 8, 8]))
        annotations.append(dict(image_id=2, category_id=2, bbox=[0, 0, 9, 9]))  # the third shows two categories
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{split}.json").write_text(
            json.dumps(
                dict(
                    images=images,
                    annotations=annotations,
                    categories=[dict(id=1, name="red"), dict(id=2, name="green")],
                )
            )
        )
    return root


def seen(names):
    """Images of 64 px whose transform cuts the middle out of 64 x 128."""
    images = images_of(torch.zeros(2, 3, 64, 64), [0, 1])
    images.classes = names

    def fit(image):
        return torch.from_numpy(np.asarray(image)[:, 32:96].transpose(2, 0, 1).copy())

    fit.resize = 64
    images.fit = fit
    return images


def test_the_box_comes_back_to_the_original_image(tmp_path):
    found = study_wsol(classifier(Colours()), seen(("red", "green")), data(tmp_path), log=lambda line: None)
    assert found.notes["head"] == "the model's own" and found.notes["num_left_out"] == 1
    assert found.numbers["top-1 localisation"].value == 100 and found.numbers["mean IoU"].value > 65
    assert found.notes["map_side"] == 16


def test_a_wrong_class_is_no_localisation(tmp_path):
    network = Colours()
    network.head.weight.data = network.head.weight.data + torch.tensor([[0.0, 0, 0], [5.0, 5, 0]])  # always green
    found = study_wsol(classifier(network), seen(("red", "green")), data(tmp_path), log=lambda line: None)
    assert found.numbers["GT-known localisation"].value == 100
    assert found.numbers["top-1"].value == 50 and found.numbers["top-1 localisation"].value == 50


def test_categories_that_the_model_lacks_get_a_fitted_head(tmp_path):
    found = study_wsol(classifier(Colours()), seen(("cat", "dog")), data(tmp_path), log=lambda line: None)
    assert found.notes["head"] == "fitted on frozen features" and found.numbers["top-1"].value == 100


def test_stride_one_doubles_the_side_of_the_map(tmp_path):
    found = study_wsol(
        classifier(Colours()), seen(("red", "green")), data(tmp_path), last_stride=1, log=lambda line: None
    )
    assert found.notes["map_side"] == 31  # 32 positions, a kernel of two without padding


def test_a_shortcut_that_slices_strides_no_more():
    from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet

    known = classifier(CifarResNet(8, 10))
    probe = torch.rand(2, 3, 16, 16)
    head = linear_head(known.network)
    layer = mapped_layer(known.network, head, probe)
    assert (head, layer) == ("linear", "layer3.0") or layer == "layer3"
    finer = finer_last_stage(known, probe)
    assert feature_maps(finer, probe, layer)[0].shape[-2:] == (8, 8)
    assert feature_maps(known, probe, layer)[0].shape[-2:] == (4, 4)


def test_pooled_features_are_the_means_of_the_map():
    known, images = classifier(Colours()), torch.rand(5, 3, 16, 16)
    maps, logits = feature_maps(known, images, mapped_layer(known.network, "head", images))
    assert pooled_features(known, images, "head") == pytest.approx(maps.mean((2, 3)).numpy(), abs=1e-6)
    assert logits.shape == (5, 2)


def test_a_network_without_global_mean_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(InputError, match="global average"):
        mapped_layer(network, "3", torch.rand(2, 3, 9, 9))
    with pytest.raises(InputError, match="linear layer"):
        linear_head(nn.Conv2d(3, 3, 1))


def test_boxes_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_boxed(tmp_path, "val")


def test_the_fitted_head_agrees_with_scikit_learn():
    from sklearn import linear_model

    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = (rng.normal(size=(90, 4)) + labels[:, None] * [1, 0, -1, 0]).astype(np.float32)
    weights, biases = fit_linear(features, labels, 3, weight_decay=1e-2)
    standard = (features - features.mean(0)) / features.std(0, ddof=1)
    theirs = linear_model.LogisticRegression(C=1 / (1e-2 * 90), tol=1e-8, max_iter=1000).fit(standard, labels)
    ours = features @ weights.T + biases
    log_ours = ours - np.log(np.exp(ours).sum(1, keepdims=True))
    assert log_ours == pytest.approx(theirs.predict_log_proba(standard), abs=1e-3)


def test_neighbours_vote_by_closeness():
    train = np.array([[1.0, 0], [0.9, 0.1], [0, 1]], np.float32)
    assert nearest_neighbours(train, [0, 1, 2], np.array([[2.0, 0], [0, 9]], np.float32), 3).tolist() == [0, 2]
    assert nearest_neighbours(train, [0, 2, 2], np.array([[1.0, 0.02]], np.float32), 1).tolist() == [0]
