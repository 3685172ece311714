"""Filter and balance: the released code's rule, in expectation, without order; guards; a stream of what was kept."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.label_files import read_vectors, vectors_path
from frozen_det.upstream.noisy_student.selection import balance, select
from tests.upstream.label_pools import NUM_CLASSES, copies_of, read_manifest, vector_of, write_parts


def released_rule(labels, confidences, hashes, num_classes, per_class, floor, seed):
    """The released filter_unlabel.py, image by image: (row -> copies, class -> threshold). Its random number alone is
    ours, so that the two can be compared."""
    grid = [i / 100.0 for i in range(101)]
    copies, thresholds = {}, {}
    for label in range(num_classes):
        mine = sorted((row for row in range(len(labels)) if labels[row] == label), key=lambda row: -confidences[row])
        chosen, total = None, 0
        for bound in reversed(grid):
            if bound < floor:
                break
            total = sum(confidences[row] >= bound for row in mine)
            chosen = bound
            if total >= per_class:
                break
        thresholds[label] = chosen
        for row in mine:
            if confidences[row] >= chosen and (kept := copies_of(hashes[row], per_class / total, seed)):
                copies[row] = kept
    return copies, thresholds


def synthetic_pool(rng, count, num_classes=NUM_CLASSES):
    labels = rng.integers(-1, num_classes, count)
    # Many on the grid itself and beside it, where a product that rounds would put them into the wrong bin.
    on_grid = rng.integers(0, 101, count) / 100 + rng.choice([0, 0, 1e-7, -1e-7], count)
    confidences = np.where(rng.random(count) < 0.5, on_grid, rng.random(count)).clip(1e-6, 1).astype(np.float32)
    return labels, confidences, [f"{value:032x}" for value in rng.permutation(count)]


def rows_of(path):
    return list(read_manifest(path))


@pytest.mark.parametrize(("count", "per_class"), [(300, 20), (300, 200), (10_000, 700)])
def test_the_manifest_is_that_of_the_released_rule(tmp_path, count, per_class):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(count), count)
    parts = write_parts(tmp_path / "labels", labels, confidences, part_size=count // 3, hashes=hashes)
    found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=per_class, seed=3, log=str)
    exact = confidences.astype(np.float64)
    copies, thresholds = released_rule(labels, exact, hashes, NUM_CLASSES, per_class, 0.3, 3)
    got = {int(row["path"][7:13]): row["copies"] for row in rows_of(found.manifest)}
    assert got == copies
    assert [one["threshold"] for one in found.summary["per_class"]] == list(thresholds.values())
    assert found.num_copies == sum(copies.values()) and found.num_rows == len(copies)
    assert [one["filtered"] for one in found.summary["per_class"]] == [
        int(((labels == label) & (exact >= 0.3)).sum()) for label in range(NUM_CLASSES)
    ]
    assert list(got) == sorted(got)  # in the pool's order


def test_a_class_has_its_copies_in_expectation_and_a_small_one_is_repeated(tmp_path):
    # T20: 10 images and N = 30 give 3 copies each; 200 images of one bin and N = 30 give 30 in the mean over seeds.
    labels = np.array([0] * 10 + [1] * 200 + [2] * 8)
    confidences = np.array([0.9] * 10 + [0.855] * 200 + [0.2] * 8, np.float32)
    parts = write_parts(tmp_path / "labels", labels, confidences)
    said, totals = [], []
    for seed in range(40):
        found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=30, seed=seed, log=said.append)
        rows = rows_of(found.manifest)
        assert all(row["copies"] == 3 for row in rows if row["label"] == 0)
        assert all(row["confidence"] >= 0.3 for row in rows)
        totals.append(sum(row["copies"] for row in rows if row["label"] == 1))
    assert len(set(totals)) > 5 and abs(np.mean(totals) - 30) < 3 * np.sqrt(30 * 0.85 / 40)
    assert found.summary["empty_classes"] == [2, 3]
    assert "2 of 4 classes have no image of confidence 0.3 or more: 2, 3" in said[0]
    assert found.summary["per_class"][2] == dict(
        label=2, name="2", labelled=8, filtered=0, threshold=0.3, rows=0, copies=0, expected=0
    )


@pytest.mark.parametrize("balanced", ["none", "cut"])
def test_without_balance_or_repeats_every_image_that_is_sure_enough_comes_once(tmp_path, balanced):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(5), 400)
    parts = write_parts(tmp_path / "labels", labels, confidences, hashes=hashes)
    chosen = dict(per_class=None if balanced == "none" else 10_000, balanced=balanced)
    found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, log=str, **chosen)
    wanted = {row for row in range(400) if labels[row] >= 0 and np.float64(confidences[row]) >= 0.3}
    assert {int(row["path"][7:13]): row["copies"] for row in rows_of(found.manifest)} == dict.fromkeys(wanted, 1)
    assert found.num_copies == found.num_rows == sum(one["expected"] for one in found.summary["per_class"])


def test_a_large_class_is_cut_as_with_repeats_and_another_balance_is_refused(tmp_path):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(6), 2000)
    parts = write_parts(tmp_path / "labels", labels, confidences, hashes=hashes)
    both = [
        select(
            parts,
            tmp_path / f"{balanced}.parquet",
            num_classes=NUM_CLASSES,
            per_class=50,
            seed=1,
            log=str,
            balanced=balanced,
        )
        for balanced in ("copies", "cut")
    ]
    assert rows_of(both[0].manifest) == rows_of(both[1].manifest)
    with pytest.raises(InputError, match="copies, cut, none, got 'all'"):
        select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=50, balanced="all", log=str)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=101, max_size=101), st.integers(1, 300), st.integers(0, 99))
def test_a_threshold_is_the_highest_that_reaches_the_number_or_the_floor(counts, per_class, floor):
    found = balance(np.array(counts), per_class, floor / 100)
    place = round(found["threshold"] * 100)
    assert place >= floor and found["images"] == sum(counts[place:])
    assert place == floor or (found["images"] >= per_class and sum(counts[place + 1 :]) < per_class)
    assert sum(counts[floor:]) < per_class or found["images"] >= per_class


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 9.5), st.integers(0, 2**31))
def test_copies_are_the_ratio_in_expectation(ratio, seed):
    drawn = [copies_of(f"{image:032x}", ratio, seed) for image in range(2000)]
    assert set(drawn) <= {int(ratio), int(ratio) + 1}
    assert abs(np.mean(drawn) - ratio) < 5 * 0.5 / np.sqrt(2000)


def test_order_and_cutting_into_parts_do_not_matter_and_the_seed_does(tmp_path):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(1), 400)
    order = np.random.default_rng(2).permutation(400)
    kept = []
    for name, take, size, seed in (("a", np.arange(400), 400, 0), ("b", order, 37, 0), ("c", order, 37, 1)):
        parts = write_parts(tmp_path / name, labels[take], confidences[take], size, hashes=[hashes[i] for i in take])
        found = select(parts, tmp_path / f"{name}.parquet", num_classes=NUM_CLASSES, per_class=25, seed=seed, log=str)
        kept.append({row["content_hash"]: row["copies"] for row in rows_of(found.manifest)})
    assert kept[0] == kept[1] != kept[2]


def test_images_that_are_also_in_a_validation_set_are_left_out_and_counted(tmp_path):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(4), 300)
    parts = write_parts(tmp_path / "labels", labels, confidences, hashes=hashes)
    said, guarded = [], [hashes[row] for row in range(0, 300, 7)]
    found = select(
        parts,
        tmp_path / "m.parquet",
        num_classes=NUM_CLASSES,
        per_class=300,
        log=said.append,
        exclude_hashes=[*guarded, "f" * 32],
    )
    decoded = sum(labels[row] >= 0 for row in range(0, 300, 7))
    assert found.summary["guards"] == dict(excluded=decoded, undecodable=int((labels < 0).sum()))
    assert not {row["content_hash"] for row in rows_of(found.manifest)} & set(guarded)
    assert said[0].startswith(f"left out of the pool: {decoded} images")
    assert sum(found.summary["histogram"]) == int((labels >= 0).sum()) - decoded


def test_soft_labels_are_the_teachers_distributions(tmp_path):
    labels, confidences, hashes = synthetic_pool(np.random.default_rng(5), 200)
    parts = write_parts(tmp_path / "labels", labels, confidences, 50, hashes=hashes)
    found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=5, log=str)
    rows = read_manifest(found.manifest, soft=True)
    assert len(rows) == found.num_rows
    for row in rows:
        shares = np.exp(vector_of(row["label"], row["confidence"]))
        assert np.allclose(row["soft_labels"], shares / shares.sum(), atol=1e-3)
        assert row["soft_labels"].dtype == np.float32 and abs(row["soft_labels"].sum() - 1) < 1e-6


def test_temperature_applies_before_normalising(tmp_path):
    parts = write_parts(tmp_path / "labels", [1], [0.9])
    found = select(parts, tmp_path / "m.parquet", num_classes=NUM_CLASSES, per_class=1, log=str)
    (row,) = read_manifest(found.manifest, soft=True, temperature=2.0)
    powers = np.array([0.1 / 3, 0.9, 0.1 / 3, 0.1 / 3]) ** 0.5
    assert np.allclose(row["soft_labels"], powers / powers.sum(), atol=1e-3)


def test_what_does_not_fit_is_one_clear_error(tmp_path):
    parts = write_parts(tmp_path / "labels", [0, 1], [0.1, 0.2])
    ask = dict(num_classes=NUM_CLASSES, per_class=5, log=str)
    with pytest.raises(InputError, match="0.3 confidence among the 2 labelled"):
        select(parts, tmp_path / "m.parquet", **ask)
    assert json.loads((tmp_path / "m.json").read_text())["num_rows"] == 0
    with pytest.raises(InputError, match="labels of 5 classes"):
        select(parts, tmp_path / "m.parquet", **ask | dict(num_classes=5))
    with pytest.raises(InputError, match="per_class from 1 on"):
        select(parts, tmp_path / "m.parquet", **ask | dict(per_class=0))
    with pytest.raises(InputError, match="no labels.json"):
        select(tmp_path, tmp_path / "m.parquet", **ask)
    with pytest.raises(InputError, match="memory_limit"):
        select(parts, tmp_path / "m.parquet", **ask, memory_limit="much")
    with pytest.raises(InputError, match="expected a manifest"):
        list(read_manifest(parts / "labels.json"))
    found = select(parts, tmp_path / "m.parquet", **ask, min_confidence=0.05)
    vectors_path(parts, 0).write_bytes(b"")
    assert read_vectors(parts, 0, NUM_CLASSES).shape == (0, NUM_CLASSES)
    with pytest.raises(InputError, match="soft vector"):
        list(read_manifest(found.manifest, soft=True))
