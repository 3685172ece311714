import pytest
import torch
import torch.nn.functional as F

from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.noisy_classifier import NoisyClassifier

CLASSES, IMAGES = 4, torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
SOFT = torch.softmax(torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(1)), 1)
IS_PSEUDO = torch.tensor([False, False, True, True, True, True])


def noisy_classifier(**options):
    torch.manual_seed(0)
    return NoisyClassifier(
        dict(type="frozen_det.CifarResNet", depth=8),
        CLASSES,
        loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1),
        **options,
    ).eval()


def losses(model, **changed):
    samples = dict(label=LABELS, is_pseudo=IS_PSEUDO, soft_labels=SOFT)
    return model(IMAGES, {**samples, **changed}, mode="loss")


def smoothed(labels):
    return 0.9 * F.one_hot(labels, CLASSES).float() + 0.1 / CLASSES


def cross_entropy(logits, targets):
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def test_soft_labels_are_not_smoothed_and_labels_are():
    model = noisy_classifier()
    logits = model(IMAGES)
    found = losses(model)
    assert found["part_labelled"].item() == pytest.approx(cross_entropy(logits[:2], smoothed(LABELS[:2])).item(), 1e-5)
    assert found["part_pseudo"].item() == pytest.approx(cross_entropy(logits[2:], SOFT[2:]).item(), 1e-5)


def test_hard_labels_are_smoothed_and_soft_vectors_do_not_matter():
    model = noisy_classifier(pseudo=dict(labels="hard"))
    found = losses(model, soft_labels=torch.zeros_like(SOFT))
    expected = cross_entropy(model(IMAGES)[2:], smoothed(LABELS[2:]))
    assert found["part_pseudo"].item() == pytest.approx(expected.item(), 1e-5)
    hard = dict(label=LABELS, is_pseudo=IS_PSEUDO)
    assert model(IMAGES, hard, mode="loss")["part_pseudo"].item() == found["part_pseudo"].item()
    with pytest.raises(InputError, match="got hard ones"):
        noisy_classifier()(IMAGES, hard, mode="loss")


@pytest.mark.parametrize("weighting, weights", [("sum", (1, 2)), ("mean", (1 / 3, 2 / 3))])
def test_the_loss_weighs_by_the_images_of_the_batch(weighting, weights):
    found = losses(noisy_classifier(pseudo=dict(weighting=weighting)))
    parts = found["part_labelled"].item(), found["part_pseudo"].item()
    assert found["loss"].item() == pytest.approx(weights[0] * parts[0] + weights[1] * parts[1], 1e-5)
    assert not found["part_labelled"].requires_grad and not found["part_pseudo"].requires_grad


def test_without_pseudo_labels_it_is_an_ordinary_classifier():
    model = noisy_classifier()
    expected = cross_entropy(model(IMAGES), smoothed(LABELS)).item()
    assert model(IMAGES, dict(label=LABELS), mode="loss")["loss"].item() == pytest.approx(expected, 1e-5)
    assert losses(model, is_pseudo=torch.zeros(6, dtype=torch.bool))["loss"].item() == pytest.approx(expected, 1e-5)


def test_accuracy_is_of_labelled_images_and_agreement_of_the_others():
    model = noisy_classifier()
    said = model(IMAGES).argmax(1)
    labels = said.clone()
    labels[0] = (said[0] + 1) % CLASSES
    found = losses(model, label=labels)
    assert found["top1"].item() == 50 and found["agreement"].item() == 100


def test_a_student_in_training_sees_noise_and_the_same_network_as_teacher_does_not():
    model = noisy_classifier(noise=dict(dropout=0.5, stochastic_depth=0.5))
    assert torch.equal(model(IMAGES), model(IMAGES))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(IMAGES), model(IMAGES))


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(pseudo=dict(labels="fuzzy")), "soft"),
        (dict(pseudo=dict(temperature=2)), "temperature"),
        (dict(noise=dict(depth=0.2)), "depth"),
        (dict(mixing=dict(type="frozen_det.BatchMixing", mixup_alpha=1.0)), "mixing"),
    ],
)
def test_what_the_source_does_not_have_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        noisy_classifier(**wrong)
