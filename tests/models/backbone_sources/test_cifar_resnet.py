"""Small residual networks: published checkpoints are loaded strictly and classify real images."""

import io
import tarfile

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.export import export_backbone
from frozen_det.models import FrozenBackbone
from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet
from frozen_det.weights.card import read_card
from frozen_det.weights.loading import load_strictly, read, state_dict_of

BODY = dict(type="frozen_det.CifarResNet", depth=20)


@pytest.fixture(scope="module")
def checkpoint(real_data):
    return real_data / "cifar10_resnets" / "resnet20-12fca82f.th"


@pytest.fixture(scope="module")
def classifier(checkpoint):
    model = CifarResNet(20, num_classes=10).eval()
    load_strictly(model, state_dict_of(read(checkpoint), str(checkpoint)), str(checkpoint))
    return model


def test_sizes_are_the_papers():
    """0.27, 0.46, 0.66, 0.85 and 1.7 M parameters: Table 6 of arXiv 1512.03385."""
    counts = [sum(p.numel() for p in CifarResNet(d, 10).parameters()) / 1e6 for d in (20, 32, 44, 56, 110)]
    assert [round(c, 2) for c in counts[:4]] == [0.27, 0.46, 0.66, 0.85] and round(counts[4], 1) == 1.7


def test_the_light_networks_of_cutmix_have_the_papers_sizes():
    """Table 6 of arXiv 1905.04899: 1.1 and 1.7 M parameters."""
    from frozen_det.config import load_config
    from frozen_det.upstream.networks import build_network

    for name, count in (("resnet110", 1_170_868), ("pyramidnet110", 1_725_300)):
        for arm in ("plain", "cutmix"):
            model = load_config(f"upstream/{name}_{arm}_cifar100").model
            network = build_network(dict(model.backbone), model.num_classes).module
            assert sum(p.numel() for p in network.parameters()) == count


def test_bottlenecks_are_the_blocks_written_out():
    torch.manual_seed(0)
    body = CifarResNet(11, bottleneck=True).eval()
    s, x = body.state_dict(), torch.randn(1, 3, 8, 8)

    def norm(y, name):
        scale = s[f"{name}.weight"] / (s[f"{name}.running_var"] + 1e-5).sqrt()
        return (y - s[f"{name}.running_mean"][:, None, None]) * scale[:, None, None] + s[f"{name}.bias"][:, None, None]

    conv = torch.nn.functional.conv2d
    y, expected = norm(conv(x, s["conv1.weight"], padding=1), "bn1").relu(), []
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        at = f"layer{stage}.0"
        z = norm(conv(y, s[f"{at}.conv1.weight"]), f"{at}.bn1").relu()
        z = norm(conv(z, s[f"{at}.conv2.weight"], stride=stride, padding=1), f"{at}.bn2").relu()
        z = norm(conv(z, s[f"{at}.conv3.weight"]), f"{at}.bn3")
        y = (z + norm(conv(y, s[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")).relu()
        expected.append(y)
    with torch.no_grad():
        for ours, theirs in zip(body(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_features_halve_twice_and_logits_are_of_their_mean():
    torch.manual_seed(0)
    classifier = CifarResNet(8, num_classes=5).eval()
    body = CifarResNet(8).eval()
    body.load_state_dict({k: v for k, v in classifier.state_dict().items() if k not in CifarResNet.head_keys})
    images = torch.randn(2, 3, 24, 40)
    with torch.no_grad():
        features = body(images)
        assert [tuple(f.shape) for f in features] == [(2, 16, 24, 40), (2, 32, 12, 20), (2, 64, 6, 10)]
        assert torch.allclose(classifier(images), classifier.linear(features[2].mean((2, 3))))


@pytest.mark.parametrize("depth", [0, 2, 18, 34])
def test_a_depth_that_does_not_exist_is_refused(depth):
    with pytest.raises(InputError, match="expected a depth of 6n \\+ 2"):
        CifarResNet(depth)


def test_a_published_checkpoint_classifies_real_images(classifier, real_data):
    """All 10,000 give 81.03. Its record is 91.78; these images went through JPEG, quality 75, colour at half size."""
    images, labels = cifar10_test(real_data / "cifar10_imagefolder.tar.gz", every=25)
    assert len(labels) == 400
    with torch.no_grad():
        top1 = 100 * (classifier(images).argmax(1) == labels).float().mean().item()
    assert abs(top1 - 81.0) < 4.5


def cifar10_test(archive, every: int = 1):
    """Normalised test images (N, 3, 32, 32) and labels (N,), classes in alphabetic order."""
    import numpy as np
    from PIL import Image

    found = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.startswith("test/") and member.isfile():
                found.append((member.name, tar.extractfile(member).read()))
    found = sorted(found)[::every]
    classes = sorted({name.split("/")[1] for name, _ in found})
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for _, data in found])
    given = CifarResNet.preprocess
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    images = (images - torch.tensor(given.mean).view(3, 1, 1)) / torch.tensor(given.std).view(3, 1, 1)
    return images, torch.tensor([classes.index(name.split("/")[1]) for name, _ in found])


def test_the_checkpoint_becomes_a_frozen_backbone_and_its_export_fills_another(checkpoint, classifier, tmp_path):
    backbone = FrozenBackbone(BODY, weights=str(checkpoint), strides=(1, 2, 4)).eval()
    backbone.init_weights()
    images = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        logits = classifier.linear(backbone(images)[2].mean((2, 3)))
        assert torch.equal(logits, classifier(images)) and backbone.channels == (16, 32, 64)
    export_backbone(backbone, tmp_path / "a.safetensors")
    again = FrozenBackbone(BODY, weights=str(tmp_path / "a.safetensors"), strides=(4,)).eval()
    again.init_weights()
    assert torch.equal(again(images)[0], backbone(images)[2])
    card = read_card(tmp_path / "a.safetensors")
    assert card.architecture == "frozen_det/CifarResNet20" and card.input_size == 32
    assert card.mean == (123.675, 116.28, 103.53) and card.source == "resnet20-12fca82f.th"


def test_weights_of_another_depth_are_refused(checkpoint):
    backbone = FrozenBackbone(dict(BODY, depth=14), weights=str(checkpoint), strides=(4,))
    with pytest.raises(InputError, match="unexpected"):
        backbone.init_weights()
