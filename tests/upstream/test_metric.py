"""ClassificationMetric: numbers worked out by hand, and every image once however the data were shared out."""

import json
import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.upstream.metric import ClassificationMetric, calibration_error, each_once


def sample(logits, label, index, **more):
    return dict(logits=torch.tensor(logits, dtype=torch.float32), label=label, index=index, **more)


def evaluated(samples, size=None, **options):
    metric = ClassificationMetric(**options)
    metric.dataset_meta = dict(classes=[f"c{i}" for i in range(len(samples[0]["logits"]))])
    for one in samples:
        metric.process(None, [one])
    return metric.evaluate(size or len(samples))


def test_numbers_of_three_images_by_hand(tmp_path):
    samples = [sample([2.0, 1.0, 0.0], 0, 0), sample([0.0, 1.0, 2.0], 1, 1), sample([0.0, 3.0, 1.0], 1, 2)]
    found = evaluated(samples, topk=(1, 2, 5), per_class=True, outfile=str(tmp_path / "m.json"))
    assert found["top1"] == pytest.approx(200 / 3) and found["top2"] == 100 and "top5" not in found
    assert found["class/c0"] == 100 and found["class/c1"] == 50 and found["mean_class"] == 75
    logits = torch.stack([one["logits"] for one in samples])
    assert found["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1])).item())
    assert found["num_images"] == 3 and found["num_empty_classes"] == 1
    stored = json.loads((tmp_path / "m.json").read_text())
    assert stored["class"] == {"c0": 100.0, "c1": 50.0, "c2": None} and stored["empty"] == ["c2"]


def test_equal_scores_are_ranked_as_argmax_ranks_them():
    found = evaluated([sample([1.0, 1.0, 1.0], 0, 0), sample([1.0, 1.0, 1.0], 2, 1)], topk=(1, 2))
    assert found["top1"] == 50 and found["top2"] == 50


def test_a_prediction_is_right_by_real_if_it_is_among_the_valid_labels_and_images_without_any_do_not_count():
    samples = [
        sample([0.0, 9.0, 0.0], 0, 0, labels_multi=[0, 1]),
        sample([9.0, 0.0, 0.0], 0, 1, labels_multi=[2]),
        sample([9.0, 0.0, 0.0], 0, 2, labels_multi=[]),
    ]
    found = evaluated(samples)
    assert found["real"] == 50 and found["num_real_images"] == 2 and found["top1"] == pytest.approx(200 / 3)
    assert "real" not in evaluated([sample([0.0, 1.0], 1, 0)])


def test_calibration_error_by_hand():
    confidence, right = np.array([0.95, 0.92, 0.55]), np.array([True, False, True])
    assert calibration_error(confidence, right, 10) == pytest.approx((abs(1 - 1.87) + 0.45) / 3)
    assert calibration_error(np.array([1.0]), np.array([True]), 15) == 0


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_every_index_is_kept_once_the_first_of_each(indices):
    results = [dict(index=index, place=place) for place, index in enumerate(indices)]
    kept = each_once(results)
    assert [one["index"] for one in kept] == sorted(set(indices))
    assert all(indices.index(one["index"]) == one["place"] for one in kept)
    assert len(each_once([dict(index=None)] * 3)) == 3


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_score_is_refused(label):
    with pytest.raises(InputError, match=r"labels in 0\.\.1"):
        evaluated([sample([0.0, 1.0], label, 0, path="a.png")])


def test_another_number_of_scores_than_of_classes_is_refused():
    metric = ClassificationMetric()
    metric.dataset_meta = dict(classes=["ash", "birch"])
    with pytest.raises(InputError, match=r"data set's 2 classes, got 3 .*model.num_classes=2"):
        metric.process(None, [sample([0.0, 1.0, 2.0], 1, 0)])


def test_no_image_at_all_and_impossible_settings_are_refused():
    with pytest.raises(InputError, match="at least one classified image"):
        ClassificationMetric().compute_metrics([])
    with pytest.raises(InputError, match="topk"):
        ClassificationMetric(topk=(0,))


SEVEN = [sample([float(i == c) for c in range(3)], i % 3, i) for i in range(7)]


def _rank(rank, store, out):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    # 7 images on 2 processes: the sampler repeats the first to give both 4.
    mine = ([0, 2, 4, 6], [1, 3, 5, 0])[rank]
    found = evaluated([SEVEN[i] for i in mine], size=7)
    with open(f"{out}/{rank}.json", "w") as file:
        json.dump(found, file)
    dist.destroy_process_group()


@pytest.mark.distributed
def test_padded_duplicates_of_uneven_shards_do_not_count(tmp_path):
    """Fact T18."""
    other = multiprocessing.get_context("spawn").Process(target=_rank, args=(1, str(tmp_path / "s"), str(tmp_path)))
    other.start()
    _rank(0, str(tmp_path / "s"), str(tmp_path))
    other.join(60)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    alone = evaluated(SEVEN)
    assert found[0] == found[1] == alone and alone["num_images"] == 7
