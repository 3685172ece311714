"""ResNetRS: timm's tensors, TensorFlow's operations; and the names of a TensorFlow checkpoint."""

import pytest
import torch
import torch.nn.functional as F

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone, ResNetRS
from frozen_det.weights.key_maps import tensorflow_resnet
from frozen_det.weights.loading import load_strictly


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = ResNetRS(50).eval()
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.1)
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return net


def same_conv(x, weight, stride=1):
    """TensorFlow's 'SAME': the smaller half of the padding before, the larger behind."""
    k = weight.shape[-1]
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride)


def same_average(x, stride):
    """2 x 2 'SAME' average: only what lies inside counts."""
    pad = (
        0,
        max((-(-x.shape[3] // stride) - 1) * stride + 2 - x.shape[3], 0),
        0,
        max((-(-x.shape[2] // stride) - 1) * stride + 2 - x.shape[2], 0),
    )
    total = F.avg_pool2d(F.pad(x, pad), 2, stride) * 4
    return total / (F.avg_pool2d(F.pad(torch.ones_like(x), pad), 2, stride) * 4)


def by_hand(s, images, blocks=(3, 4, 6, 3)):
    """The authors' network written out from their layers, on a state dict."""

    def norm(x, name):
        scale = s[f"{name}.weight"] / (s[f"{name}.running_var"] + 1e-4).sqrt()
        shift = s[f"{name}.bias"] - s[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def swish(x):
        return x * x.sigmoid()

    x = swish(norm(same_conv(images, s["conv1.0.weight"], 2), "conv1.1"))
    x = swish(norm(same_conv(x, s["conv1.3.weight"]), "conv1.4"))
    x = swish(norm(same_conv(x, s["conv1.6.weight"]), "bn1"))
    x = swish(norm(same_conv(x, s["maxpool.0.weight"], 2), "maxpool.1"))
    features = []
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            shortcut = x
            if block == 0:
                pooled = same_average(x, stride)
                shortcut = norm(same_conv(pooled, s[f"{at}.downsample.1.weight"]), f"{at}.downsample.2")
            y = swish(norm(same_conv(x, s[f"{at}.conv1.weight"]), f"{at}.bn1"))
            y = swish(norm(same_conv(y, s[f"{at}.conv2.weight"], stride), f"{at}.bn2"))
            y = norm(same_conv(y, s[f"{at}.conv3.weight"]), f"{at}.bn3")
            gate = F.relu(F.conv2d(y.mean((2, 3), keepdim=True), s[f"{at}.se.fc1.weight"], s[f"{at}.se.fc1.bias"]))
            y = y * F.conv2d(gate, s[f"{at}.se.fc2.weight"], s[f"{at}.se.fc2.bias"]).sigmoid()
            x = swish(y + shortcut)
        features.append(x)
    return features


@pytest.mark.parametrize("size", [(64, 64), (36, 44)])
def test_it_is_the_authors_network_written_out(network, size):
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        wanted = by_hand(network.state_dict(), images)
        for ours, theirs in zip(network(images), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())


def as_tensorflow_names(state, blocks=(3, 4, 6, 3)):
    """A state under the names and in the order of axes that a TF-Vision checkpoint has."""
    leaves = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    places = [f"layer{stage + 1}.{block}" for stage, count in enumerate(blocks) for block in range(count)]
    renamed = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        norm = value.dim() == 1 and "se." not in name
        leaf = (
            leaves.get(leaf)
            or {
                ("weight", True): "gamma",
                ("bias", True): "beta",
                ("weight", False): "kernel",
                ("bias", False): "bias",
            }[leaf, norm]
        )
        if module in tensorflow_resnet._STEM:
            path = str(tensorflow_resnet._STEM.index(module))
        else:
            place, part = module.split(".", 2)[:2], module.split(".", 2)[2]
            theirs = {
                "conv1": "_conv1",
                "bn1": "_norm1",
                "conv2": "_conv2",
                "bn2": "_norm2",
                "conv3": "_conv3",
                "bn3": "_norm3",
                "downsample.1": "_shortcut1",
                "downsample.2": "_norm0",
                "se.fc1": "_squeeze_excitation/_se_reduce",
                "se.fc2": "_squeeze_excitation/_se_expand",
            }[part]
            path = f"{8 + places.index('.'.join(place))}/{theirs}"
        value = value.permute(2, 3, 1, 0) if value.dim() == 4 else value
        renamed[f"backbone/layer_with_weights-{path}/{leaf}/.ATTRIBUTES/VARIABLE_VALUE"] = value.clone()
    return renamed


def test_a_tensorflow_checkpoints_tensors_land_where_they_belong(network):
    empty = ResNetRS(50)
    report = load_strictly(empty, as_tensorflow_names(network.state_dict()), "resnet-rs-50")
    assert report.loaded == len(empty.state_dict())
    assert all(
        torch.equal(empty.state_dict()[k], v)
        for k, v in network.state_dict().items()
        if not k.endswith("num_batches_tracked")
    )


def test_a_checkpoint_of_another_depth_is_refused(network):
    state = as_tensorflow_names(network.state_dict())
    state = {name: value for name, value in state.items() if "weights-23/" not in name}
    with pytest.raises(InputError, match="does not fit the backbone"):
        load_strictly(ResNetRS(50), state, "a shorter one")


def test_it_is_a_backbone_at_four_strides_and_an_unknown_depth_is_refused():
    backbone = FrozenBackbone(dict(type="frozen_det.ResNetRS", depth=50), weights="random")
    assert backbone.channels == (256, 512, 1024, 2048)
    assert sum(p.numel() for p in backbone.parameters()) == pytest.approx(33.64e6, abs=5e3)
    with pytest.raises(InputError, match="depth"):
        ResNetRS(18)
