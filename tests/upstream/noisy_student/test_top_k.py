"""Soft labels as top k: exact values, ties, files there and back, and equality with whole vectors at k = all."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.registry import DATASETS
from frozen_det.upstream.datasets import ImageFolder
from frozen_det.upstream.losses import BinaryCrossEntropy, SoftTargetCrossEntropy, spread_targets
from frozen_det.upstream.noisy_student.joint_batches import JointDataset
from frozen_det.upstream.noisy_student.label_files import part_record, rows_path, soft_label, vectors_path
from frozen_det.upstream.noisy_student.labelling import finish_labels, label_pool
from frozen_det.upstream.noisy_student.manifest import ManifestRecords
from frozen_det.upstream.noisy_student.noisy_classifier import NoisyClassifier
from frozen_det.upstream.noisy_student.pool import open_pool
from frozen_det.upstream.noisy_student.selection import select
from frozen_det.upstream.noisy_student.top_k import one_hot_top, shares_of, top_labels, whole_label
from tests.upstream.image_sets import write_folder
from tests.upstream.label_pools import CROP, NUM_CLASSES, Teacher, write_images


def logits_below(rows) -> torch.Tensor:
    logits = torch.tensor(rows, dtype=torch.float32)
    return logits - logits.max(1, keepdim=True).values


def test_the_largest_are_kept_in_the_order_of_classes_and_the_rest_is_one_number():
    below = logits_below([[-3.0, 0.0, -2.0, -1.0, -4.0]])
    found = top_labels(below, torch.tensor([1]), 2)
    assert found.classes.tolist() == [[1, 3]] and found.logits.tolist() == [[0.0, -1.0]]
    assert found.rest[0] == pytest.approx(np.exp([-3.0, -2.0, -4.0]).sum(), rel=1e-6)
    shares, rest = shares_of(found.logits[0], found.rest[0], 5)
    exact = np.exp([-3.0, 0, -2, -1, -4])
    exact /= exact.sum()
    assert shares.tolist() == pytest.approx([exact[1], exact[3]], rel=1e-6)
    assert rest == pytest.approx(exact[[0, 2, 4]].sum(), rel=1e-6) and shares.dtype == np.float32
    whole = whole_label(found.classes[0], shares, rest, 5)
    assert whole.tolist() == pytest.approx([rest / 3, exact[1], rest / 3, exact[3], rest / 3], rel=1e-6)


def test_a_temperature_takes_the_others_as_equal_logits():
    shares, rest = shares_of(np.array([0.0, -1.0], np.float16), 3 * np.exp(-2.0), 5, temperature=2.0)
    exact = np.exp(np.array([0.0, -1, -2, -2, -2]) / 2)
    exact /= exact.sum()
    assert [*shares, rest] == pytest.approx([exact[0], exact[1], exact[2:].sum()], rel=1e-6)


def test_of_equal_logits_the_lower_classes_are_kept_and_the_label_always():
    below = torch.zeros(1, 6)
    assert top_labels(below, torch.tensor([4]), 3).classes.tolist() == [[0, 1, 4]]
    assert top_labels(below, torch.tensor([4]), 1).classes.tolist() == [[4]]
    assert top_labels(below, torch.tensor([0]), 3).rest.tolist() == [3.0]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_k_any_ties_keep_what_a_stable_sort_keeps(data):
    num_classes = data.draw(st.integers(1, 12))
    # Few values: many ties.
    rows = data.draw(
        st.lists(
            st.lists(st.sampled_from([-9.0, -2.0, -1.5, 0.0]), min_size=num_classes, max_size=num_classes),
            min_size=1,
            max_size=4,
        )
    )
    k, below = data.draw(st.integers(1, num_classes)), logits_below(rows)
    labels = below.argmax(1)
    found = top_labels(below, labels, k)
    for row, label, classes, logits, rest in zip(below.numpy(), labels.tolist(), *found):
        order = sorted(range(num_classes), key=lambda one: (one != label, -row[one], one))
        assert classes.tolist() == sorted(order[:k]) and logits.tolist() == row[classes].tolist()
        assert rest == pytest.approx(np.exp(row[order[k:]].astype(float)).sum(), rel=1e-5)
        shares, others = shares_of(logits.astype(np.float16), rest, num_classes, data.draw(st.floats(0.5, 4)))
        whole = whole_label(classes, shares, others, num_classes)
        assert whole.sum() == pytest.approx(1, abs=1e-5) and whole[label] == whole.max()


@pytest.mark.parametrize("loss", [SoftTargetCrossEntropy(), BinaryCrossEntropy()])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_loss_and_gradient_at_k_of_all_classes_are_those_of_whole_vectors(loss, temperature):
    generator = torch.Generator().manual_seed(0)
    below = torch.randn(16, 257, generator=generator) * 4
    below -= below.max(1, keepdim=True).values
    found = top_labels(below, below.argmax(1), 257)
    dense = torch.stack([torch.from_numpy(soft_label(row.astype(np.float16), temperature)) for row in below.numpy()])
    told = [shares_of(row.astype(np.float16), rest, 257, temperature) for row, rest in zip(found.logits, found.rest)]
    shares, rest = torch.from_numpy(np.stack([one[0] for one in told])), torch.tensor([float(one[1]) for one in told])
    top = spread_targets(torch.from_numpy(found.classes), shares, rest, 257)
    assert torch.equal(top, dense)
    logits = torch.randn(16, 257, generator=generator)
    ends = []
    for targets in (top, dense):
        own = logits.clone().requires_grad_()
        value = loss(own, targets)
        value.backward()
        ends.append((value.detach(), own.grad))
    assert torch.equal(ends[0][0], ends[1][0]) and torch.equal(ends[0][1], ends[1][1])


def test_targets_spread_the_rest_evenly():
    found = spread_targets(torch.tensor([[3, 1]]), torch.tensor([[0.5, 0.2]]), torch.tensor([0.3]), 5)
    assert found[0].tolist() == pytest.approx([0.1, 0.2, 0.1, 0.5, 0.1])
    classes, shares, rest = one_hot_top(torch.tensor([4, 0]), 3, 5)
    assert torch.equal(spread_targets(classes, shares, rest, 5), torch.eye(5)[[4, 0]])


@pytest.fixture
def pool(tmp_path):
    folder = write_images(tmp_path / "pool", 12)
    (folder / "00" / "0004.png").write_bytes(b"no image")
    return open_pool(dict(folder=folder))


def labelled(pool, folder, top_k, **others):
    label_pool(Teacher(), pool, folder, part_size=5, batch_size=4, transform=CROP, top_k=top_k, **others)
    found = select(folder, Path(folder).with_suffix(".parquet"), num_classes=NUM_CLASSES, per_class=7, log=str)
    return found.manifest


def test_labels_come_back_from_their_files_through_the_manifest(pool, tmp_path):
    dense, top = (ManifestRecords(labelled(pool, tmp_path / f"k{k}", k)) for k in (None, 2))
    assert len(top) == len(dense) > 0 and (dense.top_k, top.top_k) == (None, 2)
    for index in range(len(top)):
        exact = dense.soft_label(index)
        classes, shares, rest = top.top_label(index)
        assert classes.tolist() == sorted(np.argsort(-exact, kind="stable")[:2])
        assert np.allclose(shares, exact[classes], atol=1e-3) and shares.dtype == np.float32
        assert rest == pytest.approx(1 - exact[classes].sum(), abs=1e-3) and rest > 0
        assert np.array_equal(top.soft_label(index), whole_label(classes, shares, rest, NUM_CLASSES))
    assert not list((tmp_path / "k2").glob("*.logits"))
    row = next(row for row in pq.read_table(rows_path(tmp_path / "k2", 0)).to_pylist() if row["decodes"])
    assert len(row["soft_classes"]) == len(row["soft_logits"]) == 2 and max(row["soft_logits"]) == 0
    assert row["vector"] == -1 and row["label"] in row["soft_classes"]


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_at_k_of_all_classes_samples_are_those_of_whole_vectors(pool, tmp_path, temperature):
    dense, top = (labelled(pool, tmp_path / f"k{k}", k) for k in (None, NUM_CLASSES))
    for index in range(len(ManifestRecords(dense))):
        one, other = (ManifestRecords(path).soft_label(index, temperature) for path in (dense, top))
        assert np.array_equal(one, other)


def test_another_k_labels_again_and_dense_parts_of_before_stay_whole(pool, tmp_path):
    out = tmp_path / "out"
    settings = dict(part_size=5, batch_size=4, transform=CROP)
    label_pool(Teacher(), pool, out, **settings)
    before = finish_labels(out)
    assert "top_k" not in before and label_pool(Teacher(), pool, out, **settings).num_skipped == 3
    assert label_pool(Teacher(), pool, out, **settings, top_k=3).num_skipped == 0
    assert not vectors_path(out, 0).exists() and part_record(out, 0)["top_k"] == 3
    assert finish_labels(out)["top_k"] == 3
    assert label_pool(Teacher(), pool, out, **settings, top_k=3).num_skipped == 3
    assert label_pool(Teacher(), pool, out, **settings, top_k=2).num_skipped == 0
    label_pool(Teacher(), pool, out, **settings)
    assert finish_labels(out) == before


@pytest.mark.parametrize("top_k", [0, NUM_CLASSES + 1])
def test_a_k_that_is_no_number_of_classes_is_refused(pool, tmp_path, top_k):
    with pytest.raises(InputError, match=f"top_k from 1 to {NUM_CLASSES}.*got {top_k}"):
        labelled(pool, tmp_path / "out", top_k)


def test_a_label_that_was_not_kept_is_refused_by_name(pool, tmp_path):
    manifest = labelled(pool, tmp_path / "out", 2, min_vector_confidence=0.999)
    with pytest.raises(InputError, match="soft vector of each image"):
        ManifestRecords(manifest).soft_label(0)


def joint(pool, folder, root, top_k, in_memory=False):
    pseudo = dict(type="frozen_det.PseudoLabelled", manifest=str(labelled(pool, folder, top_k)), in_memory=in_memory)
    if in_memory:
        pseudo["transform"] = dict(type="frozen_det.CifarEval")
    dataset = ImageFolder(str(root), "train")
    return JointDataset(dataset, DATASETS.build(pseudo))


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_joint_batch_carries_k_classes_an_image(pool, tmp_path, in_memory):
    root = write_folder(tmp_path / "own", dict(ash=2, birch=2, cedar=2, dogwood=2), size=8)
    dataset = joint(pool, tmp_path / "top", root, 2, in_memory)
    batch = dataset.__getitems__([1, 6, 9, 10, 8])["data_samples"]
    assert "soft_labels" not in batch and batch["is_pseudo"].tolist() == [False, False, True, True, True]
    assert batch["soft_classes"].shape == batch["soft_shares"].shape == (5, 2) and batch["soft_rest"].shape == (5,)
    targets = spread_targets(batch["soft_classes"], batch["soft_shares"], batch["soft_rest"], NUM_CLASSES)
    assert torch.equal(targets[:2], torch.eye(NUM_CLASSES)[batch["label"][:2]])
    for place, index in enumerate((1, 2, 0), start=2):
        expected = dataset.pseudo.records.soft_label(index)
        assert np.array_equal(targets[place].numpy(), expected)


def test_a_students_losses_at_k_of_all_classes_are_those_of_whole_vectors(pool, tmp_path):
    root = write_folder(tmp_path / "own", dict(ash=2, birch=2, cedar=2, dogwood=2), size=8)
    model = NoisyClassifier(
        dict(type="frozen_det.CifarResNet", depth=8),
        NUM_CLASSES,
        loss=dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=0.1),
    ).eval()
    ends = []
    for name, top_k in (("dense", None), ("top", NUM_CLASSES)):
        batch = joint(pool, tmp_path / name, root, top_k).__getitems__([0, 3, 8, 9, 12])
        model.zero_grad()
        losses = model(batch["inputs"].float(), batch["data_samples"], mode="loss")
        losses["loss"].backward()
        ends.append([losses["loss"].detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*ends))
