"""Which donor gives which objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.datasets.transforms.copy_paste_patches import DonorCache, DonorImage, box_masks, cropped_donor
from frozen_det.datasets.transforms.copy_paste_sources import Donors, choose, repeat_factors
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.datasets.transforms.source_objects import source_objects
from frozen_det.errors import InputError


class Labelled:
    """Images of 60 x 60 px with a small square for each label of theirs."""

    def __init__(self, labels_of_images: list[list[int]], **instance) -> None:
        self.labels_of_images, self.instance = labels_of_images, instance

    def __len__(self) -> int:
        return len(self.labels_of_images)

    def get_data_info(self, index: int) -> dict:
        instances = []
        for place, label in enumerate(self.labels_of_images[index]):
            x = 8 * place
            polygon = [float(v) for v in (x, 0, x + 6, 0, x + 6, 6, x, 6)]
            instances.append(dict(bbox=[x, 0, x + 6, 6], bbox_label=label, mask=[polygon], **self.instance))
        return dict(img=np.full((60, 60, 3), index, np.uint8), img_id=index, sample_idx=index, instances=instances)


@given(
    st.integers(0, 12),
    st.sampled_from(["subset", "one", "all"]),
    st.sampled_from([None, 1, 3, 50]),
    st.integers(0, 2**32 - 1),
)
def test_chosen_objects_are_distinct_and_within_the_bound(num_objects, selection, max_num, seed):
    chosen = choose(num_objects, selection, max_num, np.random.default_rng(seed))
    limit = num_objects if max_num is None else min(max_num, num_objects)
    assert len(set(chosen.tolist())) == len(chosen) <= limit
    assert all(0 <= index < num_objects for index in chosen)
    if selection == "all":
        assert len(chosen) == limit
    if selection == "one":
        assert len(chosen) == min(1, limit)


def test_a_random_subset_has_every_size_equally_often():
    counts = np.bincount([len(choose(4, "subset", None, np.random.default_rng(s))) for s in range(5000)])
    assert len(counts) == 5 and np.abs(counts / 5000 - 0.2).max() < 0.02


def test_a_class_in_a_quarter_of_the_threshold_is_repeated_twice():
    labels_of_images = [np.array([0, 0, 1]), np.array([0]), np.array([0]), np.array([0]), np.zeros(0, np.int64)]
    factors = repeat_factors(labels_of_images, 4, threshold=0.8)
    np.testing.assert_allclose(factors, [1, 2, 1, 1])


# Class 1 is in one image of ten.
LONG_TAIL = [[0, 0, 1]] + [[0, 0]] * 8 + [[]]


@pytest.mark.parametrize(
    "sampling, share_of_image, share_of_object",
    [
        # The first image holds a tenth of the donors, and its rare object is chosen as often as each other.
        ("uniform", 0.1, 1 / 3),
        # Its weight is sqrt(0.4 / 0.1) = 2 of 10.
        ("rare_images", 2 / 10, 1 / 3),
        # 1 + 1 + 2 of 4 + 8 * 2, and the rare object 2 of 4.
        ("rare_objects", 4 / 20, 0.5),
    ],
)
def test_rare_classes_give_more_often_where_that_is_asked_for(sampling, share_of_image, share_of_object):
    donors = Donors(
        Labelled(LONG_TAIL), LargeScaleJitter(60, (1.0, 1.0)), selection="one", sampling=sampling, rare_threshold=0.4
    )
    generator = np.random.default_rng(0)
    drawn = [donors.draw(generator) for _ in range(3000)]
    first = [d for d in drawn if d.data_info["img_id"] == 0]
    assert abs(len(first) / 3000 - share_of_image) < 0.025
    rare = sum(d.patches[0].label == 1 for d in first) / len(first)
    assert abs(rare - share_of_object) < 0.06


def test_images_without_objects_are_no_donors_where_rare_classes_count():
    donors = Donors(Labelled(LONG_TAIL), LargeScaleJitter(60), sampling="rare_images")
    assert donors.image_shares[9] == 0 and donors.image_shares.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="at least one object"):
        Donors(Labelled([[0], [1]], ignore_flag=1), None, sampling="rare_objects")
    with pytest.raises(InputError, match="at least one object"):
        Donors(Labelled([[0], [1]], pseudo=True), None, sampling="rare_objects")


def test_weights_follow_the_dataset_when_it_becomes_a_subset():
    dataset = Labelled(LONG_TAIL)
    donors = Donors(dataset, LargeScaleJitter(60), sampling="rare_objects", rare_threshold=0.4)
    dataset.labels_of_images = [[1], [0], [0, 1]]
    donors.draw(np.random.default_rng(0))
    np.testing.assert_allclose(donors.image_shares, [1 / 4, 1 / 4, 2 / 4])


def test_a_donor_of_which_nothing_is_chosen_is_not_decoded(tmp_path):
    class OnDisk(Labelled):
        def get_data_info(self, index):
            info = super().get_data_info(index)
            del info["img"]
            return info | dict(img_path=str(tmp_path / "absent.jpg"), height=60, width=60)

    donors = Donors(OnDisk([[]]), LargeScaleJitter(60))
    assert donors.draw(np.random.default_rng(0)).patches == []
    with pytest.raises(FileNotFoundError):
        Donors(OnDisk([[0]]), LargeScaleJitter(60), selection="all").draw(np.random.default_rng(0))


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = DonorCache(max_mb=3 * 100 / 2**20)
    images = [DonorImage((10, 10), [(np.zeros((10, 10), np.uint8), (0, 0))] * 2) for _ in range(4)]
    for name, image in zip("abc", images):
        cache.put(name, image)
    assert cache.get("a") is images[0] and cache.num_bytes == 300
    cache.put("d", images[3])
    assert cache.get("b") is None and cache.get("a") is images[0] and len(cache) == 3


def test_a_donor_is_cut_to_its_objects_unless_that_is_more_than_the_image():
    dataset = Labelled([[0, 1], [0] * 7])
    few = cropped_donor(dataset.get_data_info(0)["img"], source_objects(dataset.get_data_info(0), True))
    assert [(tile.shape, place) for tile, place in few.tiles] == [((8, 8, 3), (0, 0)), ((8, 10, 3), (6, 0))]
    assert few.num_bytes() == 3 * (64 + 80)
    large = dict(instances=[dict(bbox=[0, 0, 60, 40], bbox_label=0, mask=[[0.0, 0, 60, 0, 60, 40, 0, 40]])] * 2)
    whole = cropped_donor(np.zeros((60, 60, 3), np.uint8), source_objects(large, True))
    assert whole.tiles[0][0] is whole.tiles[1][0] and whole.num_bytes() == 3 * 3600


def test_boxes_become_masks_of_at_least_a_pixel_inside_the_image():
    masks = box_masks(
        np.array([[1.6, 2.2, 4.4, 6.8], [3.1, 3.1, 3.2, 3.2], [-4, -4, 99, 99], [9.9, 9.9, 10, 10]]), 10, 10
    )
    assert masks.boxes_xyxy.tolist() == [[2, 2, 4, 7], [3, 3, 4, 4], [0, 0, 10, 10], [9, 9, 10, 10]]
    assert masks.areas.tolist() == [10, 1, 100, 1]
    assert len(box_masks(np.zeros((0, 4)), 5, 5)) == 0
