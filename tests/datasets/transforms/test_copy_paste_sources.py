"""Which paste source gives which objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.datasets.transforms.copy_paste_patches import SourceCache, SourceImage, box_masks, cropped_source
from frozen_det.datasets.transforms.copy_paste_sources import PasteSources, choose
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.datasets.transforms.source_objects import source_objects


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


@given(st.integers(0, 250), st.sampled_from(["subset", "one", "all"]), st.integers(0, 2**32 - 1))
def test_chosen_objects_are_distinct_and_at_most_a_hundred(num_objects, selection, seed):
    chosen = choose(num_objects, selection, np.random.default_rng(seed))
    limit = min(100, num_objects)
    assert len(set(chosen.tolist())) == len(chosen) <= limit
    assert all(0 <= index < num_objects for index in chosen)
    if selection == "all":
        assert len(chosen) == limit
    if selection == "one":
        assert len(chosen) == min(1, limit)


def test_a_random_subset_has_every_size_equally_often():
    counts = np.bincount([len(choose(4, "subset", np.random.default_rng(s))) for s in range(5000)])
    assert len(counts) == 5 and np.abs(counts / 5000 - 0.2).max() < 0.02


def test_a_paste_source_of_which_nothing_is_chosen_is_not_decoded(tmp_path):
    class OnDisk(Labelled):
        def get_data_info(self, index):
            info = super().get_data_info(index)
            del info["img"]
            return info | dict(img_path=str(tmp_path / "absent.jpg"), height=60, width=60)

    donors = PasteSources(OnDisk([[]]), LargeScaleJitter(60))
    assert donors.draw(np.random.default_rng(0)).patches == []
    with pytest.raises(FileNotFoundError):
        PasteSources(OnDisk([[0]]), LargeScaleJitter(60), selection="all").draw(np.random.default_rng(0))


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = SourceCache(max_mb=3 * 100 / 2**20)
    images = [SourceImage((10, 10), [(np.zeros((10, 10), np.uint8), (0, 0))] * 2) for _ in range(4)]
    for name, image in zip("abc", images):
        cache.put(name, image)
    assert cache.get("a") is images[0] and cache.num_bytes == 300
    cache.put("d", images[3])
    assert cache.get("b") is None and cache.get("a") is images[0] and len(cache) == 3


def test_a_paste_source_is_cut_to_its_objects_unless_that_is_more_than_the_image():
    dataset = Labelled([[0, 1], [0] * 7])
    few = cropped_source(dataset.get_data_info(0)["img"], source_objects(dataset.get_data_info(0), True))
    assert [(tile.shape, place) for tile, place in few.tiles] == [((8, 8, 3), (0, 0)), ((8, 10, 3), (6, 0))]
    assert few.num_bytes() == 3 * (64 + 80)
    large = dict(instances=[dict(bbox=[0, 0, 60, 40], bbox_label=0, mask=[[0.0, 0, 60, 0, 60, 40, 0, 40]])] * 2)
    whole = cropped_source(np.zeros((60, 60, 3), np.uint8), source_objects(large, True))
    assert whole.tiles[0][0] is whole.tiles[1][0] and whole.num_bytes() == 3 * 3600


def test_boxes_become_masks_of_at_least_a_pixel_inside_the_image():
    masks = box_masks(
        np.array([[1.6, 2.2, 4.4, 6.8], [3.1, 3.1, 3.2, 3.2], [-4, -4, 99, 99], [9.9, 9.9, 10, 10]]), 10, 10
    )
    assert masks.boxes_xyxy.tolist() == [[2, 2, 4, 7], [3, 3, 4, 4], [0, 0, 10, 10], [9, 9, 10, 10]]
    assert masks.areas.tolist() == [10, 1, 100, 1]
    assert len(box_masks(np.zeros((0, 4)), 5, 5)) == 0
