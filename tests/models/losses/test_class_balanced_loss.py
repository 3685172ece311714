"""Class weights by effective number, and the loss that uses them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.models.losses.class_balanced_loss import ClassBalancedLoss, effective_number_weights
from frozen_det.models.losses.counted_loss import count_instances

COUNTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=30)
BETAS = st.sampled_from([0.0, 0.5, 0.9, 0.999, 0.9999])
UNCLIPPED = (0.0, float("inf"))


@pytest.fixture()
def ann_file(tmp_path):
    """Categories in no order of their ids: dog 3 instances and a crowd, cat 0, bird 1."""
    annotations = [
        dict(id=i, image_id=1, category_id=c, iscrowd=crowd)
        for i, (c, crowd) in enumerate([(9, 0), (9, 0), (2, 0), (9, 1), (9, 0)])
    ]
    path = tmp_path / "train.json"
    path.write_text(
        json.dumps(
            dict(
                images=[dict(id=1)],
                annotations=annotations,
                categories=[dict(id=9, name="dog"), dict(id=4, name="cat"), dict(id=2, name="bird")],
            )
        ),
        encoding="utf-8",
    )
    return path


def test_the_weights_are_those_of_the_formula_worked_by_hand():
    # (1 - b) / (1 - b^n) for b = 0.5: n=1 1, n=2 2/3, n=3 4/7; their mean is 47/63.
    weights = effective_number_weights([1, 2, 3], beta=0.5)
    assert weights == pytest.approx(np.array([1, 2 / 3, 4 / 7]) * 63 / 47, rel=1e-12)


def test_rare_classes_are_cut_at_5_and_frequent_ones_at_a_hundredth():
    weights = effective_number_weights([1, *[100_000] * 999], beta=0.99999)
    assert weights[0] == 5.0
    assert set(effective_number_weights([1] * 9 + [10**6], beta=0.999)[9:]) == {0.01}


@settings(deadline=None)
@given(COUNTS, BETAS)
def test_more_instances_never_weigh_more(counts, beta):
    weights = effective_number_weights(sorted(counts), beta)
    assert (np.diff(weights) <= 1e-12).all()


@settings(deadline=None)
@given(COUNTS, BETAS)
def test_before_the_cut_the_mean_is_one_and_after_it_all_lie_within(counts, beta):
    assert effective_number_weights(counts, beta, UNCLIPPED).mean() == pytest.approx(1.0, rel=1e-9)
    cut = effective_number_weights(counts, beta)
    assert cut.min() >= 0.01 and cut.max() <= 5.0


@settings(deadline=None)
@given(COUNTS, BETAS, st.integers(1, 5))
def test_classes_without_instances_weigh_like_those_with_one_and_move_no_other(counts, beta, absent):
    alone = effective_number_weights(counts, beta, UNCLIPPED)
    joined = effective_number_weights(counts + [0] * absent, beta, UNCLIPPED)
    assert joined[: len(counts)] == pytest.approx(alone, rel=1e-12)
    one = (1.0 if beta == 0 else (1 - beta) / (1 - beta**1)) / _mean_of_formula(counts, beta)
    assert joined[len(counts) :] == pytest.approx(one, rel=1e-6)


def _mean_of_formula(counts, beta):
    return np.mean([(1 - beta) / (1 - beta ** float(n)) for n in counts])


def test_beta_0_weighs_all_alike_and_beta_near_1_by_the_inverse_count():
    assert effective_number_weights([1, 10, 1000], beta=0.0).tolist() == [1.0, 1.0, 1.0]
    weights = effective_number_weights([2, 4], beta=1 - 1e-12)
    assert weights[0] / weights[1] == pytest.approx(2.0, rel=1e-3)


def test_nothing_but_absent_classes_weighs_one_and_no_class_gives_no_weight():
    assert effective_number_weights([0, 0]).tolist() == [1.0, 1.0]
    assert effective_number_weights([]).shape == (0,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(beta=1.0), "beta from 0 to below 1, got 1.0"),
        (dict(beta=-0.1), "got -0.1"),
        (dict(clip=(5.0, 0.01)), "lowest <= highest"),
        (dict(num_instances=[3, -1]), "counts of 0 or more, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        effective_number_weights(**{"num_instances": [1, 2], **options})


def test_instances_are_counted_in_the_order_of_the_json_without_crowds(ann_file):
    assert list(count_instances(ann_file).items()) == [("dog", 3), ("cat", 0), ("bird", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("{", "JSONDecodeError"),
        ('{"annotations": []}', "KeyError"),
        ("[]", "TypeError"),
        ('{"annotations": [], "categories": [{"id": 1, "name": "a"}]}', "got none"),
    ],
)
def test_an_annotation_file_that_cannot_be_counted_is_refused(tmp_path, text, said):
    path = tmp_path / "train.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        count_instances(path)


def test_the_loss_is_torchs_weighted_cross_entropy_over_the_number_of_regions(ann_file):
    loss = ClassBalancedLoss(ann_file=str(ann_file), loss_weight=2.0)
    logits = torch.randn(6, 4, requires_grad=True)
    labels, weights = torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([1.0, 1, 1, 1, 0, 1])
    per_class = torch.tensor([*effective_number_weights([3, 0, 1]), 1.0], dtype=torch.float32)
    single = torch.nn.functional.cross_entropy(logits, labels, weight=per_class, reduction="none")
    value = loss(logits, labels, weights, avg_factor=5)
    assert value.item() == pytest.approx(2.0 * (single * weights).sum().item() / 5, rel=1e-6)
    value.backward()
    assert logits.grad[4].abs().sum() == 0 and logits.grad[0].abs().sum() > 0
    assert loss(logits, labels, weights, reduction_override="none").shape == (6,)


def test_half_precision_keeps_the_weights_digits(ann_file):
    loss = ClassBalancedLoss(num_instances=[1, 10**6, 10**6])
    logits = torch.randn(4, 4).bfloat16()
    labels = torch.tensor([0, 1, 2, 3])
    assert loss(logits, labels).item() == pytest.approx(loss(logits.float(), labels).item(), rel=1e-6)


def test_names_in_another_order_than_the_json_take_their_own_counts(ann_file):
    loss = ClassBalancedLoss(ann_file=str(ann_file), classes=("bird", "dog", "cat"))
    loss.init_weights()
    assert loss.class_values.tolist() == pytest.approx([*effective_number_weights([1, 3, 0]), 1.0])


def test_nothing_is_read_before_training_and_nothing_enters_the_state_dict(tmp_path, ann_file):
    loss = ClassBalancedLoss(ann_file=str(tmp_path / "absent.json"))
    assert not loss.state_dict()
    with pytest.raises(InputError, match=r"absent\.json"):
        loss.init_weights()
    read = ClassBalancedLoss(ann_file=str(ann_file))
    read.init_weights()
    assert not read.state_dict()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "got neither"),
        (dict(ann_file="a.json", num_instances=[1]), "got both"),
        (dict(num_instances=[1], beta=2.0), "beta"),
    ],
)
def test_a_loss_with_contradicting_settings_is_refused_when_it_is_built(options, said):
    with pytest.raises(InputError, match=said):
        ClassBalancedLoss(**options)


def test_counts_of_other_classes_than_the_heads_are_refused(ann_file):
    with pytest.raises(InputError, match="expected counts of 4 classes, as the head has, got 3"):
        ClassBalancedLoss(ann_file=str(ann_file))(torch.zeros(1, 5), torch.tensor([0]))
    with pytest.raises(InputError, match="no 'brid'; did you mean 'bird'"):
        ClassBalancedLoss(ann_file=str(ann_file), classes=("dog", "cat", "brid")).init_weights()
