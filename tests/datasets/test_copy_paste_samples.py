"""Copy-Paste on the samples of a data set: which paste sources, how many objects, samples that repeat anywhere."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import MultiImageMixDataset
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from frozen_det.config.known_keys import check_nodes
from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.samplers.epoch import EpochSampler
from frozen_det.datasets.samplers.seeding import seeded
from frozen_det.datasets.transforms.copy_paste import CopyPaste
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.errors import InputError

from .pasting import Scenes, bound, image_of, loaded, pasted, square


def test_paste_sources_go_through_any_other_pipeline_too():
    class Dimmed:
        def __call__(self, info):
            return loaded(objects=[(5, 5, 15, 15)], colour=77) if info["sample_idx"] == 0 else None

    with DefaultScope.overwrite_default_scope("mmdet"):
        paste = CopyPaste(donor_pipeline=[Dimmed(), dict(type="RandomFlip", prob=1.0)], objects="all")
    paste.bind(Scenes([image_of(0, 9, 9, []), image_of(1, 9, 9, [])]))
    boxes = []
    for seed in range(12):
        with seeded(seed):
            boxes.append(paste(loaded())["gt_bboxes"].tensor.tolist())
    # The second paste source is refused by its pipeline.
    assert [[85, 5, 95, 15]] in boxes and [] in boxes


def test_labelled_objects_are_pasted_onto_pseudo_labelled_images_and_not_the_other_way():
    labelled = Scenes([image_of(2, 60, 60, [square(10, 10, 30, 40)])])
    pseudo = Scenes([image_of(0, 60, 60, [square(0, 0, 9, 9, pseudo=True)])])
    jitter = LargeScaleJitter(60, (1.0, 1.0), flip_prob=0)
    own = bound(pseudo, donor_pipeline=[jitter], objects="all")
    assert own(jitter(pseudo.get_data_info(0)))["num_pasted"] == 0
    results = bound(labelled, donor_pipeline=[jitter], objects="all")(jitter(pseudo.get_data_info(0)))
    assert results["gt_bboxes"].tensor.tolist() == [[0, 0, 9, 9], [10, 10, 30, 40]]


def test_inside_multi_image_mix_dataset_it_takes_the_paste_source_it_is_given(toy_root):
    with DefaultScope.overwrite_default_scope("mmdet"):
        inner = CocoDataset("annotations/train.json", data_root=str(toy_root), pipeline=[LargeScaleJitter(96)])
        mixed = MultiImageMixDataset(
            inner,
            [dict(type="frozen_det.CopyPaste", objects="all"), dict(type="PackDetInputs", meta_keys=("num_pasted",))],
        )
    with seeded(3):
        samples = [mixed[index]["data_samples"] for index in range(6)]
    assert sum(sample.num_pasted for sample in samples) > 6
    assert all(len(sample.gt_instances) == len(sample.gt_instances.masks) for sample in samples)


def test_wrong_settings_and_missing_keys_are_refused_by_name():
    with pytest.raises(InputError, match=r"'subsets' for objects .* did you mean 'subset'"):
        CopyPaste(objects="subsets")
    with pytest.raises(InputError, match="or call bind"):
        CopyPaste()(loaded())
    with pytest.raises(InputError, match=r"put frozen_det\.LargeScaleJitter before"):
        pasted({"img_path": "x.jpg"})
    with pytest.raises(InputError, match="float64 before"):
        pasted(loaded() | dict(img=np.zeros((9, 9, 3))))


OPTIONS_OF_0_1 = (
    "donor_dataset max_num_pasted mask_occluded_thr bbox_occluded_thr occlusion_rule blending donor_sampling "
    "rare_threshold fill_bgr prob"
)


@pytest.mark.parametrize(
    "kind, option",
    [("CopyPaste", one) for one in OPTIONS_OF_0_1.split()]
    + [("LargeScaleJitter", one) for one in ("with_seg", "min_box_px", "seg_map_loading")],
)
def test_an_option_that_is_no_more_is_refused_by_name(kind, option):
    with pytest.raises(InputError, match=f"has the key '{option}', which frozen_det.{kind} does not take"):
        check_nodes({"type": f"frozen_det.{kind}", option: 1}, "here")


def paste_config(root, **settings_) -> CocoDataset:
    jitter = dict(type="frozen_det.LargeScaleJitter", size_hw=96)
    pipeline = [
        jitter,
        dict(type="frozen_det.CopyPaste", donor_pipeline=[jitter], planar=True, **settings_),
        dict(type="PackDetInputs", meta_keys=("donor_img_id", "num_pasted", "gt_origins")),
    ]
    with DefaultScope.overwrite_default_scope("mmdet"):
        return CocoDataset("annotations/train.json", data_root=str(root), pipeline=pipeline)


def samples_by(root, num_workers: int = 0, epoch: int = 0, **settings_) -> list:
    dataset = paste_config(root, **settings_)
    sampler = EpochSampler(dataset, shuffle=True, seed=5)
    sampler.set_epoch(epoch)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=num_workers, collate_fn=list)
    return [sample for batch in loader for sample in batch]


def assert_same(one: list, other: list) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["inputs"], b["inputs"])
        ours, theirs = a["data_samples"], b["data_samples"]
        assert torch.equal(ours.gt_instances.bboxes.tensor, theirs.gt_instances.bboxes.tensor)
        assert torch.equal(ours.gt_instances.labels, theirs.gt_instances.labels)
        np.testing.assert_array_equal(ours.gt_instances.masks.masks, theirs.gt_instances.masks.masks)
        assert ours.donor_img_id == theirs.donor_img_id


def test_samples_do_not_depend_on_the_number_of_workers_and_differ_between_epochs(toy_root):
    alone, two, later = samples_by(toy_root), samples_by(toy_root, 2), samples_by(toy_root, epoch=1)
    assert_same(alone, two)
    donors = [[sample["data_samples"].donor_img_id for sample in samples] for samples in (alone, later)]
    assert donors[0] != donors[1] and len(set(donors[0])) > 3
    assert sum(sample["data_samples"].num_pasted for sample in alone) > 5


def test_what_the_cache_holds_changes_no_sample(toy_root):
    dataset = paste_config(toy_root, donor_cache_mb=0.3)
    sampler = EpochSampler(dataset, shuffle=True, seed=5)
    first, second = ([dataset[index] for index in sampler] for _ in range(2))
    cache = dataset.pipeline.transforms[1].sources.cache
    assert 0 < len(cache) < 12 and 0 < cache.num_bytes <= 0.3 * 2**20
    assert_same(first, second)
    assert_same(first, samples_by(toy_root, num_workers=2, donor_cache_mb=64))


def test_a_cached_paste_source_gives_the_objects_of_an_uncached_one_also_at_small_scales(toy_root):
    draws = {}
    for cache_mb in (0, 64):
        dataset = paste_config(toy_root, objects="all", donor_cache_mb=cache_mb)
        donors = dataset.pipeline.transforms[1].sources
        donors.jitter.scale_range = (0.6, 1.1)
        draws[cache_mb] = [donors.draw(np.random.default_rng(seed)) for seed in range(12)]
    assert {donation.window.reduction for donation in draws[0]} == {2}
    colours = []
    for plain, cached in zip(draws[0], draws[64]):
        assert plain.data_info["img_id"] == cached.data_info["img_id"] and cached.window.reduction == 1
        places = [[(p.left, p.top, *p.mask.shape) for p in donation.patches] for donation in (plain, cached)]
        # A reduced source gives objects on its own, coarser grid.
        assert np.abs(np.array(places[0]) - np.array(places[1])).max() <= 2
        colours += [[p.pixels[p.mask > 0].mean() for p in pair] for pair in zip(plain.patches, cached.patches)]
    assert len(colours) > 20 and np.abs(np.diff(colours)).mean() < 6


def test_paste_sources_of_a_subset_come_from_the_subset(toy_root):
    whole = paste_config(toy_root, donor_cache_mb=64)
    for _ in range(20):
        whole[0]
    subset = whole.get_subset([4, 5])
    samples = [subset[0]["data_samples"] for _ in range(40)]
    expected = {subset.get_data_info(i)["img_id"]: len(subset.get_data_info(i)["instances"]) for i in range(2)}
    assert {sample.donor_img_id for sample in samples} - {None} == set(expected)
    assert len(whole.pipeline.transforms[1].sources.dataset) == 12
    # The cache knows files, not places: a paste source never gives another image's pixels for its own objects.
    assert all(sample.num_pasted <= expected.get(sample.donor_img_id, 0) for sample in samples)
    path = subset.get_data_info(0)["img_path"]
    cached = subset.pipeline.transforms[1].sources.cache.get(path)
    assert cached is None or cached.source_hw == cv2.imread(path).shape[:2]


def test_packing_keeps_the_origins_for_pictures(toy_root):
    samples = [sample["data_samples"] for sample in samples_by(toy_root, objects="all")]
    for sample in samples:
        assert len(sample.gt_origins) == len(sample.gt_instances) + len(sample.ignored_instances)
    assert any(len(set(sample.gt_origins.tolist())) == 2 for sample in samples)
