"""Maps by gradients: with a mean and one linear layer they are class activation maps; elsewhere known by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.robustness.features import mapped_layer
from frozen_det.robustness.grad_cam import GradientLayer, gradient_layer, gradient_maps
from frozen_det.robustness.localization import class_activation_map
from frozen_det.robustness.wsol import study_wsol
from frozen_det.upstream.stored_network import linear_head

from .study_networks import classifier
from .test_wsol import Colours, data, seen

pytest.importorskip("pytorch_grad_cam")


class Flat(nn.Module):
    """No mean before the linear layers: VGG's shape, with a ReLU in place behind the last map."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.hidden, self.head = nn.Linear(6 * 16, 5), nn.Linear(5, 2)

    def forward(self, images):
        return self.head(self.hidden(self.features(images).flatten(1)).relu())


class Corners(Colours):
    """The mean counts twice at the top: no class activation map, the same colours."""

    def forward(self, images):
        maps = self.late(self.early(images))
        half = maps.shape[-2] // 2
        return self.head(maps.mean((2, 3)) + maps[:, :, :half].mean((2, 3)))


def head_of(network, name="head"):
    linear = network.get_submodule(name)
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
    return linear.weight.detach().numpy(), bias.detach().numpy()


def test_grad_cam_of_a_mean_and_a_linear_layer_is_the_class_activation_map():
    known, images = classifier(Colours()), torch.rand(5, 3, 16, 16)
    layer = gradient_layer(known.network, "head", images)
    assert layer == GradientLayer("late", "NCHW", 0, (4, 4))
    assert mapped_layer(known.network, "head", images) == "late"
    labels = np.array([0, 1, 1, 0, 1])
    maps, scores = gradient_maps(known, images, layer, "head", *head_of(known.network), labels, "gradcam")
    features = known.network.late(known.network.early(images)).numpy()
    expected = [class_activation_map(one, head_of(known.network)[0][label]) for one, label in zip(features, labels)]
    assert maps == pytest.approx(np.stack(expected) / 16, abs=1e-6) and maps.max() > 0.001
    assert scores == pytest.approx(known.logits(images), abs=1e-5)


def test_grad_cam_plus_plus_weighs_a_channel_by_its_slopes():
    # Score 0: 4 times the mean of channel 0 (slope 1 at each of 4 places, sum of the channel 2), minus that of channel
    # 1. alpha = 1 / (2 + 2 * 1) = 1/4, weight = 4 * 1/4 = 1; a negative slope counts for nothing.
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    network[0].weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None]
    images = torch.tensor([[[1.0, 0.5], [0.25, 0.25]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]])[None]
    weights, biases = np.array([[4.0, -4.0], [0.0, 8.0]]), np.array([0.5, 0.0])
    known = classifier(network)
    layer = gradient_layer(network, "3", images)
    maps, scores = gradient_maps(known, images, layer, "3", weights, biases, np.array([0]))
    assert maps[0] == pytest.approx(images[0, 0].numpy(), abs=1e-5)
    assert scores[0] == pytest.approx([4 * 0.5 - 4 * 0.25 + 0.5, 2.0])
    # Class 1: slope 2 in channel 1 whose sum is 1: alpha = 1 / (2 + 2) = 1/4, weight = 4 * 1/4 * 2 = 2.
    maps, _ = gradient_maps(known, images, layer, "3", weights, biases, np.array([1]))
    assert maps[0] == pytest.approx(2 * images[0, 1].numpy(), abs=1e-5)


def test_batches_do_not_change_the_maps():
    known, images = classifier(Flat().eval(), batch_size=2), torch.rand(5, 3, 8, 8)
    layer = gradient_layer(known.network, "head", images)
    labels, head = np.array([0, 1, 0, 1, 0]), head_of(known.network)
    many = gradient_maps(known, images, layer, "head", *head, labels)[0]
    one = [gradient_maps(known, images[[n]], layer, "head", *head, labels[[n]])[0][0] for n in range(5)]
    assert many == pytest.approx(np.stack(one), abs=1e-6) and np.isfinite(many).all()


def test_layers_behind_which_a_flat_head_reads_are_found_in_place_or_not():
    layer = gradient_layer(Flat().eval(), "head", torch.rand(2, 3, 8, 8))
    assert layer == GradientLayer("features", "NCHW", 0, (4, 4))


def test_a_relu_in_place_behind_the_layer_is_no_obstacle():
    class InPlace(Flat):
        def forward(self, images):
            maps = nn.functional.relu(self.features[:2](images), inplace=True)
            return self.head(self.hidden(maps.flatten(1)).relu())

    network, images = InPlace().eval(), torch.rand(3, 3, 8, 8)
    layer = gradient_layer(network, "head", images)
    assert layer.name == "features.1"
    maps, scores = gradient_maps(classifier(network), images, layer, "head", *head_of(network), np.array([0, 1, 0]))
    assert scores == pytest.approx(network(images).detach().numpy(), abs=1e-5) and maps.max() > 0


@pytest.mark.parametrize("pool, name, prefix", [("token", "blocks.1.norm1", 1), ("avg", "norm", 1)])
def test_tokens_are_laid_out_as_their_grid(pool, name, prefix):
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=(16, 32),
        patch_size=8,
        embed_dim=12,
        depth=2,
        num_heads=2,
        num_classes=3,
        global_pool=pool,
        fc_norm=False,
    ).eval()
    images = torch.rand(2, 3, 16, 32)
    layer = gradient_layer(network, linear_head(network), images)
    assert (layer.layout, layer.num_prefix, layer.grid_hw) == ("tokens", prefix, (2, 4)) and layer.name == name
    maps, _ = gradient_maps(classifier(network), images, layer, "head", *head_of(network), np.array([0, 2]))
    assert maps.shape == (2, 2, 4) and maps.max() > 0
    tokens = torch.arange(9.0)[None, :, None].expand(1, 9, 12)
    assert layer.to_maps(tokens)[0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_channels_last_are_laid_out_too():
    from timm.models.swin_transformer import SwinTransformer

    torch.manual_seed(0)
    network = SwinTransformer(
        img_size=32, patch_size=4, window_size=4, embed_dim=8, depths=(1, 1), num_heads=(2, 2), num_classes=3
    ).eval()
    layer = gradient_layer(network, "head.fc", torch.rand(2, 3, 32, 32))
    assert (layer.name, layer.layout, layer.grid_hw) == ("norm", "NHWC", (4, 4))
    assert layer.to_maps(torch.zeros(2, 4, 4, 16)).shape == (2, 16, 4, 4)


def test_a_backbone_without_global_mean_is_mapped_by_gradients_and_the_table_says_so(tmp_path):
    root = data(tmp_path)
    found = study_wsol(classifier(Corners()), seen(("red", "green")), root, log=lambda line: None)
    assert found.notes["map"] == "Grad-CAM++ at late" and found.numbers["top-1 localisation"].value == 100
    exact = study_wsol(classifier(Colours()), seen(("red", "green")), root, log=lambda line: None)
    assert exact.notes["map"] == "CAM"
    wished = study_wsol(
        classifier(Colours()), seen(("red", "green")), root, map_kind="gradcam++", log=lambda line: None
    )
    assert wished.notes["map"] == "Grad-CAM++ at late"
    assert wished.numbers["mean IoU"].value == pytest.approx(found.numbers["mean IoU"].value)
    with pytest.raises(InputError, match="global average"):
        study_wsol(classifier(Corners()), seen(("red", "green")), root, map_kind="cam", log=lambda line: None)


def test_a_fitted_head_is_mapped_by_gradients_of_its_own_scores(tmp_path):
    found = study_wsol(classifier(Corners()), seen(("cat", "dog")), data(tmp_path), log=lambda line: None)
    assert found.notes["head"] == "fitted on frozen features" and found.numbers["top-1"].value == 100


def test_a_network_without_a_map_is_refused():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with pytest.raises(InputError, match="feature map"):
        gradient_layer(network, "2", torch.rand(2, 3, 8, 8))
