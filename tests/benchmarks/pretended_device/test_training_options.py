"""What surrounds a step, on a pretended GPU: mixed batches, tuning at the test resolution, averages, half precision."""

import copy
from types import SimpleNamespace

import pytest
import torch

from frozen_det.benchmarks.detector_check import quiet
from frozen_det.benchmarks.pretended_device.device import pretended_device
from frozen_det.benchmarks.pretended_device.measured import OURS, MeasuredModel, batch_of, parts_of, seeded
from frozen_det.benchmarks.pretended_device.tensors import DEVICE
from frozen_det.benchmarks.pretended_device.waits import COPY, READ_BACK, counted
from frozen_det.engine.hooks.averages import EMAHook
from frozen_det.engine.hooks.nan_guard import NaNGuardHook
from frozen_det.errors import InputError
from frozen_det.models.backbones.frozen_backbone import FrozenBackbone
from frozen_det.models.losses.class_balanced_loss import ClassBalancedLoss
from frozen_det.models.losses.logit_adjusted_loss import LogitAdjustedLoss
from frozen_det.upstream.classifier import ImageClassifier
from frozen_det.upstream.fixres.classifier import FixResClassifier

NETWORK = dict(backbone=dict(type="frozen_det.CifarResNet", depth=8), num_classes=3)
COLOURS = dict(data_preprocessor=dict(mean=[120.0] * 3, std=[60.0] * 3))
MIXINGS = {
    "none": None,
    "cutmix": dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0),
    "mixup": dict(type="frozen_det.BatchMixing", mixup_alpha=0.2),
    "cutout": dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, mixup_alpha=0.2, cutout_size=4),
    "manifold": dict(type="frozen_det.BatchMixing", mixup_alpha=0.2, level="feature"),
}


def classifier(mixing=None):
    seeded(0)
    return ImageClassifier(**NETWORK, **COLOURS, mixing=mixing)


def on_both(model, **options) -> tuple[MeasuredModel, MeasuredModel]:
    """The same model on the CPU, and on the device in whose block this is called."""
    batch = batch_of(model, 16, 4, 0, boxed=False)
    twin = copy.deepcopy(model)
    return MeasuredModel(twin, batch, device="cpu", **options), MeasuredModel(model, batch, **options)


def equal(step: MeasuredModel, other: MeasuredModel) -> bool:
    expected = step.model.state_dict()
    return all(torch.equal(value.cpu(), expected[name]) for name, value in other.model.state_dict().items())


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_classifier_with_mixed_batches_steps_as_on_the_cpu(mixing):
    with pretended_device():
        plain, step = on_both(classifier(MIXINGS[mixing]), hooks=[NaNGuardHook()])
        for seed in range(3):
            expected = plain.train(seed)
            with counted() as found:
                assert step.train(seed) == {name: value.item() for name, value in expected.items()}
        assert equal(plain, step)
    # Images, labels and places in the data set are sent; loss and accuracy come back together.
    assert [wait.what for wait in found if wait.kind == READ_BACK] == ["event", "tolist"]
    assert {wait.package for wait in found if wait.kind == COPY} <= {"mmengine"}


def test_a_classifier_predicts_as_on_the_cpu():
    with pretended_device():
        plain, step = on_both(classifier())
        expected, found = plain.predict(), step.predict()
        assert all(torch.equal(one["logits"], other["logits"].cpu()) for one, other in zip(expected, found))
        assert [one["label"] for one in found] == [0, 1, 2, 0]


def test_the_tuning_at_the_test_resolution_steps_as_on_the_cpu():
    seeded(0)
    model = FixResClassifier(**NETWORK, **COLOURS)
    model.source = "here"
    with pretended_device():
        plain, step = on_both(model)
        before = {name: value.cpu() for name, value in step.model.frozen_tensors().items()}
        for seed in range(2):
            plain.train(seed), step.train(seed)
        assert equal(plain, step)
        assert all(torch.equal(value.cpu(), before[name]) for name, value in step.model.frozen_tensors().items())


@pytest.mark.parametrize("kind", ["ExponentialMovingAverage", "frozen_det.WarmUpAverage"])
def test_averages_are_the_cpus_and_wait_for_nothing(kind):
    with pretended_device():
        averages = []
        for step in on_both(classifier()):
            hook = EMAHook(ema_type=kind, momentum=0.1, update_buffers=True)
            runner = SimpleNamespace(model=step.model, iter=0, epoch=0, optim_wrapper=step.wrapper)
            hook.before_run(runner)
            for seed in range(3):
                step.train(seed)
                with counted() as found:
                    hook.after_train_iter(runner, 0)
            averages.append(hook.ema_model)
        plain, ours = (average.module.state_dict() for average in averages)
        assert all(torch.equal(value.cpu(), plain[name]) for name, value in ours.items())
    # mmengine asks for its own count of updates, a tensor beside the average.
    assert {(wait.package, wait.kind) for wait in found} <= {("mmengine", READ_BACK)}


BACKBONES = {
    "lora": dict(body=dict(type="timm", name="vit_tiny_patch16_224"), strides=(16,), adapters=dict(type="lora")),
    "series": dict(adapters=dict(type="series")),
    "conv": dict(adapters=dict(type="conv_adapter")),
    "folded": dict(forward=dict(fold_norms=True)),
    "last": dict(forward=dict(memory_format="channels_last", fold_norms=True)),
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbones_give_the_cpus_features_and_wait_for_nothing(kind):
    seeded(0)
    options = dict(body=dict(type="timm", name="resnet10t"), weights="random") | BACKBONES[kind]
    backbone = FrozenBackbone(**options).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = copy.deepcopy(backbone)(images)
        with pretended_device():
            backbone.to(DEVICE)
            images = images.to(DEVICE)
            backbone(images)  # folds norms, once
            with counted() as found:
                features = backbone(images)
            assert found == []
            assert all(torch.allclose(one, other.cpu(), atol=1e-5) for one, other in zip(expected, features))


def test_mixed_precision_and_clipping_train_a_detector():
    from tests.benchmarks.pretended_device.test_steps import config_of

    with quiet(), pretended_device():
        step = MeasuredModel(*parts_of(config_of("faster"), OURS, 128, 2, 2), amp=True)
        assert step.wrapper.clip_grad_kwargs
        before = [parameter.detach().clone() for parameter in step.model.neck.parameters()]
        losses = [step.train(seed)["loss"] for seed in range(2)]
        assert all(torch.isfinite(torch.tensor(losses)))
        assert any(not torch.equal(one, other) for one, other in zip(before, step.model.neck.parameters()))
        assert step.wrapper.loss_scaler.get_scale() > 0 and step.model.neck.parameters().__next__().is_cuda


@pytest.mark.parametrize("kind", [ClassBalancedLoss, LogitAdjustedLoss])
def test_values_of_classes_travel_once(kind):
    loss = kind(num_instances=[5, 1])
    loss.init_weights()
    with pretended_device():
        logits, labels = torch.zeros(4, 3, device=DEVICE), torch.arange(4, device=DEVICE) % 3
        counts = []
        for _ in range(3):
            with counted() as found:
                loss(logits, labels)
            counts.append([wait.what for wait in found if wait.file.startswith("frozen_det")])
    assert counts == [["to"], [], []]


def test_a_loss_that_is_not_finite_stops_before_the_step_and_leaves_no_gradients():
    with pretended_device():
        step = MeasuredModel(classifier(), batch_of(classifier(), 16, 4, 0, boxed=False), [NaNGuardHook()])
        with torch.no_grad():
            step.model.network.linear.weight[0] = float("nan")
        before = {name: value.cpu() for name, value in step.model.named_parameters()}
        with pytest.raises(InputError, match="expected a finite loss, got nan"):
            step.train()
        after = {name: value.cpu() for name, value in step.model.named_parameters()}
        assert all(torch.equal(value.nan_to_num(), after[name].nan_to_num()) for name, value in before.items())
        assert all(parameter.grad is None for parameter in step.model.parameters())


def test_the_loss_is_read_only_once_the_backward_pass_was_handed_over(monkeypatch):
    order = []
    backward = torch.autograd.backward
    monkeypatch.setattr(torch.autograd, "backward", lambda *given, **more: order.append(0) or backward(*given, **more))
    with pretended_device():
        step = MeasuredModel(classifier(), batch_of(classifier(), 16, 4, 0, boxed=False), [NaNGuardHook()])
        with counted() as found:
            monkeypatch.setattr(torch.cuda.Event, "synchronize", lambda self: order.append(len(order)))
            step.train()
    assert order == [0, 1] and [wait.what for wait in found if wait.kind == READ_BACK] == ["tolist"]
