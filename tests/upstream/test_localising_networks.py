"""Networks for localisation: VGG-GAP, ResNets whose last stage does not stride, square images."""

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.build import build_network
from frozen_det.upstream.classifier import ImageClassifier
from frozen_det.upstream.last_stride import run_last_stage_at_stride_one
from frozen_det.upstream.transforms import SquareEval, SquareTrain


def test_vgg_gap_has_a_map_of_14_and_torchvisions_names():
    import torchvision

    with torch.device("meta"):
        built = build_network(dict(type="frozen_det.VggGap"), 200)
        theirs = torchvision.models.vgg16(weights=None).state_dict()
        body = build_network(dict(type="frozen_det.VggGap"), 200).module
    state = built.module.state_dict()
    assert {name for name in state if name not in theirs} == {"conv6.weight", "conv6.bias", "fc.weight", "fc.bias"}
    assert all(state[name].shape == theirs[name].shape for name in state if name in theirs)
    assert built.head_names == {"conv6.weight", "conv6.bias", "fc.weight", "fc.bias"}
    body.fc = None
    assert body(torch.zeros(1, 3, 224, 224, device="meta"))[0].shape == (1, 1024, 14, 14)


def test_a_file_of_vgg_16_fills_all_of_vgg_gap_but_what_is_new(tmp_path):
    from frozen_det.upstream.vgg_gap import VggGap

    with torch.device("meta"):
        wanted = VggGap().state_dict()
    features = {name: torch.full(value.shape, 0.5) for name, value in wanted.items() if name.startswith("features")}
    torch.save(
        {**features, "classifier.6.weight": torch.zeros(2, 2), "classifier.6.bias": torch.zeros(2)},
        tmp_path / "vgg16.pth",
    )
    model = ImageClassifier(
        dict(type="frozen_det.VggGap"), 5, weights=dict(path=str(tmp_path / "vgg16.pth"), head="new")
    )
    before = model.network.conv6.weight.clone()
    model.init_weights()
    assert (model.network.features[28].weight == 0.5).all() and torch.equal(model.network.conv6.weight, before)


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="timm", name="resnet50"),
        dict(type="torchvision", name="resnet18"),
        dict(type="timm", name="resnext50_32x4d"),
    ],
)
def test_the_last_stage_at_stride_one_doubles_the_map_and_keeps_every_name(backbone):
    with torch.device("meta"):
        plain, finer = (build_network(backbone, 10).module.eval() for _ in range(2))
        run_last_stage_at_stride_one(finer, torch.zeros(1, 3, 64, 64))
        sides = []
        for network in (plain, finer):
            network.layer4.register_forward_hook(lambda _, given, out: sides.append(out.shape[-1]))
            network(torch.zeros(1, 3, 224, 224))
    assert sides == [7, 14]
    assert {name: value.shape for name, value in plain.state_dict().items()} == {
        name: value.shape for name, value in finer.state_dict().items()
    }


def test_a_classifier_trains_so_by_its_config_and_gives_what_a_network_without_the_stride_gives():
    torch.manual_seed(0)
    model = ImageClassifier(dict(type="frozen_det.CifarResNet", depth=8), 3, last_stride=1).eval()
    torch.manual_seed(0)
    plain = ImageClassifier(dict(type="frozen_det.CifarResNet", depth=8), 3).eval()
    images, sides = torch.rand(2, 3, 32, 32), []
    for one in (model, plain):
        one.network.layer3.register_forward_hook(lambda _, given, out: sides.append(out.shape[-1]))
        one(images)
    assert sides == [16, 8]


@pytest.mark.parametrize("backbone", [dict(type="torchvision", name="vgg11"), dict(type="timm", name="densenet121")])
def test_a_last_stage_that_strides_by_pooling_is_refused(backbone):
    with torch.device("meta"), pytest.raises(InputError, match="strides by a convolution"):
        network = build_network(backbone, 4).module.eval()
        run_last_stage_at_stride_one(network, torch.zeros(1, 3, 64, 64))


def test_another_last_stride_is_refused():
    with pytest.raises(InputError, match="model.last_stride as 1"):
        ImageClassifier(dict(type="frozen_det.CifarResNet", depth=8), 3, last_stride=2)


def test_square_images_keep_their_sides():
    pixels = np.zeros((60, 200, 3), np.uint8)
    pixels[:, 150:] = 255
    image = Image.fromarray(pixels)
    seen = SquareEval(224, 256)(image)
    assert seen.shape == (3, 224, 224) and (seen[0, 100] > 127).sum() == 224 - (192 - 16)
    assert (SquareEval(224, 224)(image)[0, 0] > 127).sum() == 56
    assert SquareEval(224, 256).geometry((60, 200)) == ((1.28, 256 / 60), (16, 16))
    assert SquareTrain()(image).shape == (3, 224, 224)
    with pytest.raises(InputError, match="at least the crop's 224"):
        SquareEval(224, 200)
