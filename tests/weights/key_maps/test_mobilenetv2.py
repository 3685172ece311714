"""MobileNetV2 under timm's, torchvision's and flat names: the same features in every library's own model."""

import timm
import torch
import torchvision.models as tv

from frozen_det.errors import InputError
from frozen_det.weights.key_maps import mobilenetv2
from frozen_det.weights.loading import load_strictly

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
# Width 0.35, so that the test is quick: the layout does not depend on the width.
NARROW = "mobilenetv2_035"


def trained(seed: int = 0) -> torch.nn.Module:
    """torchvision's network with running statistics that differ from layer to layer."""
    torch.manual_seed(seed)
    model = tv.mobilenet_v2(width_mult=0.35)
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, 64, 64))
    return model.eval()


def flat(state: dict) -> dict:
    """The names of files whose blocks are one flat Sequential, in which ReLU6 takes a place."""
    names, widens = {}, {"0.0": "0", "0.1": "1", "1.0": "3", "1.1": "4", "2": "6", "3": "7"}
    first = {"0.0": "0", "0.1": "1", "1": "3", "2": "4"}
    for name in state:
        head, conv, rest = name.partition(".conv.")
        part, _, leaf = rest.rpartition(".")
        table = first if head == "features.1" else widens
        names[f"{head}.conv.{table[part]}.{leaf}" if conv else name] = state[name]
    assert len(names) == len(state)
    return names


def narrow_timm() -> torch.nn.Module:
    return timm.create_model(NARROW, num_classes=1000).eval()


def test_flat_and_nested_files_give_the_same_logits_in_timm():
    theirs = trained()
    with torch.no_grad():
        wanted = theirs(IMAGES)
        for state, words in ((theirs.state_dict(), "torchvision's names"), (flat(theirs.state_dict()), "flat blocks")):
            ours = narrow_timm()
            report = load_strictly(ours, state, "file")
            assert words in report.mapping and report.unused == ()
            torch.testing.assert_close(ours(IMAGES), wanted, atol=1e-5, rtol=1e-5)


def test_a_flat_file_without_classifier_fills_torchvisions_features():
    theirs, ours = trained(), trained(seed=1).features
    holder = torch.nn.Module()
    holder.features = ours
    load_strictly(holder, {k: v for k, v in flat(theirs.state_dict()).items() if k.startswith("features.")}, "file")
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.features.state_dict().values()))


def test_timms_file_fills_torchvision():
    theirs, ours = narrow_timm(), tv.mobilenet_v2(width_mult=0.35).eval()
    load_strictly(ours, theirs.state_dict(), "file")
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES), theirs(IMAGES), atol=1e-5, rtol=1e-5)


def test_other_networks_are_not_taken_for_it():
    vgg = {f"features.{place}.weight": torch.zeros(1) for place in (0, 2, 5)}
    names = narrow_timm().state_dict()
    assert mobilenetv2.renamed(vgg, names) is None
    assert mobilenetv2.renamed(names, names) is None  # nothing to rename
    efficient = timm.create_model("efficientnet_lite0").state_dict()
    assert mobilenetv2.renamed(trained().state_dict(), efficient) is None  # deeper stages


def test_a_file_that_lacks_a_block_is_refused():
    state = {k: v for k, v in flat(trained().state_dict()).items() if not k.startswith("features.9.")}
    try:
        load_strictly(narrow_timm(), state, "file")
    except InputError as error:
        assert "tensors missing" in str(error)
    else:
        raise AssertionError("loaded without a block")
