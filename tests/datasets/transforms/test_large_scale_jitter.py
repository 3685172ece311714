"""Large-scale jitter: the samples of mmdet's chain, from the surviving pixels only."""

import copy
import json
import pickle

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmcv.transforms import LoadImageFromFile, RandomResize
from mmdet.datasets.transforms import (
    FilterAnnotations,
    LoadAnnotations,
    PackDetInputs,
    RandomCrop,
    RandomFlip,
    Resize,
)
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.samplers.epoch import EpochSampler
from frozen_det.datasets.transforms.large_scale_jitter import LargeScaleJitter
from frozen_det.datasets.transforms.source_pixels import resampled
from frozen_det.errors import InputError
from frozen_det.ops.windows import JitterDraw, boxes_to_window
from frozen_det.registry import TRANSFORMS

WHOLE = JitterDraw(1.0, 0.0, 0.0, False)


def scene(height=60, width=80, seed=0, **instance):
    """A sample in memory: noise, and one object, a square of 20 x 10 px at (10, 20)."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    polygon = [10.0, 20, 30, 20, 30, 30, 10, 30]
    return dict(
        img=image,
        img_path="scene",
        sample_idx=4,
        instances=[dict(bbox=[10, 20, 30, 30], bbox_label=3, ignore_flag=0, mask=[polygon]) | instance],
    )


def by_mmdet(info: dict, draw: JitterDraw, window, size: int) -> dict:
    """The same draw through mmdet's chain; its crop begins at the nearest whole output pixel."""
    box = int(size * draw.scale)
    offset = tuple(round(o * s) for o, s in zip(window.origin_xy, window.scale_xy))
    crop = RandomCrop((size, size), crop_type="absolute", recompute_bbox=True, allow_negative_crop=True)
    crop._rand_offset = lambda margin: (min(offset[1], margin[0]), min(offset[0], margin[1]))
    results = dict(info)
    for transform in (
        LoadImageFromFile(),
        LoadAnnotations(with_bbox=True, with_mask=True),
        Resize(scale=(box, box), keep_ratio=True),
        crop,
        FilterAnnotations(min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
        RandomFlip(prob=float(draw.flip)),
    ):
        results = transform(results)
    return results


def numbered(dataset) -> list[dict]:
    """The samples of a dataset with the number of each object in place of its class."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    for info in infos:
        for number, instance in enumerate(info["instances"]):
            instance["bbox_label"] = number
    return infos


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_is_the_one_that_mmdets_chain_makes_of_the_same_draw(real_data, seed):
    dataset = CocoDataset("annotations/instances.json", data_root=str(real_data / "coco128"))
    infos = numbered(dataset)
    jitter = LargeScaleJitter(512, reduced_decoding=False)
    generator = np.random.default_rng(seed)
    box_errors, overlaps, shifts, only_in_one, num_objects = [], [], [], 0, 0
    for info in infos:
        draw = jitter.draw(generator)
        ours = jitter.apply(copy.deepcopy(info), draw)
        theirs = by_mmdet(copy.deepcopy(info), draw, ours["jitter_window"], 512)
        assert ours["img"].shape == theirs["img"].shape and ours["img"].dtype == np.uint8
        assert ours["img_shape"] == theirs["img_shape"] and ours["ori_shape"] == theirs["ori_shape"]
        assert ours["scale_factor"] == pytest.approx(theirs["scale_factor"])
        assert bool(ours["flip"]) == bool(theirs["flip"])
        if ours["jitter_window"].origin_xy == (0, 0) and draw.scale <= 1:
            np.testing.assert_array_equal(ours["img"], theirs["img"])
        else:
            # The crops begin up to half an output pixel apart.
            blurred = [cv2.GaussianBlur(np.ascontiguousarray(r["img"]), (0, 0), 2) for r in (ours, theirs)]
            shifts.append(cv2.absdiff(*blurred).mean())
        our_place, their_place = ({int(n): i for i, n in enumerate(r["gt_bboxes_labels"])} for r in (ours, theirs))
        both = sorted(set(our_place) & set(their_place))
        only_in_one += len(set(our_place) ^ set(their_place))
        num_objects += len(both)
        assert list(our_place) == sorted(our_place)
        source_px = max(1, *ours["scale_factor"])
        for number in both:
            i, j = our_place[number], their_place[number]
            assert ours["gt_ignore_flags"][i] == theirs["gt_ignore_flags"][j]
            difference = ours["gt_bboxes"].tensor[i] - theirs["gt_bboxes"].tensor[j]
            box_errors.append(float(difference.abs().max()) / source_px)
            mask, other = ours["gt_masks"][i].masks[0], theirs["gt_masks"].masks[j]
            if other.sum() > 2000:
                overlaps.append((mask & other).sum() / (mask | other).sum())
    # mmdet rasterises at the source's resolution, we at the output's: an error of a source pixel is the rule there,
    # and parts thinner than that show in one of the two only.
    assert num_objects > 700 and only_in_one <= 8
    assert np.quantile(box_errors, 0.5) < 1.2 and np.quantile(box_errors, 0.97) < 2.5
    assert max(shifts) < 8 and np.mean(shifts) < 2
    assert len(overlaps) > 200 and min(overlaps) > 0.8 and np.median(overlaps) > 0.95


def test_the_draw_is_mmdets():
    jitter = LargeScaleJitter(100, scale_range=(0.1, 2.0), flip_prob=0.5)
    draws = [jitter.draw(np.random.default_rng(seed)) for seed in range(4000)]
    scales = np.array([draw.scale for draw in draws])
    with DefaultScope.overwrite_default_scope("mmdet"):
        theirs = RandomResize(scale=(100, 100), ratio_range=(0.1, 2.0), keep_ratio=True)
    expected = np.array([theirs._random_scale()[0] for _ in range(4000)]) / 100
    np.testing.assert_allclose(
        np.quantile(scales, [0, 0.25, 0.5, 0.75, 1]), np.quantile(expected, [0, 0.25, 0.5, 0.75, 1]), atol=0.06
    )
    assert abs(np.mean([draw.flip for draw in draws]) - 0.5) < 0.03
    assert abs(np.mean([draw.top for draw in draws]) - 0.5) < 0.03


def test_reduced_decoding_changes_no_annotation_and_hardly_a_pixel(real_data):
    dataset = CocoDataset("annotations/instances.json", data_root=str(real_data / "coco128"))
    draw = JitterDraw(0.2, 0.3, 0.6, True)
    reduced, full = LargeScaleJitter(512), LargeScaleJitter(512, reduced_decoding=False)
    for index in range(0, 128, 16):
        info = dataset.get_data_info(index)
        one, other = reduced.apply(copy.deepcopy(info), draw), full.apply(copy.deepcopy(info), draw)
        assert one["jitter_window"].reduction == 4 and other["jitter_window"].reduction == 1
        assert torch.equal(one["gt_bboxes"].tensor, other["gt_bboxes"].tensor)
        np.testing.assert_array_equal(one["gt_masks"].masks, other["gt_masks"].masks)
        blurred = [cv2.GaussianBlur(r["img"], (0, 0), 2) for r in (one, other)]
        assert cv2.absdiff(*blurred).mean() < 4


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_masks_and_pixels_follow_one_mapping(flip):
    sample = scene(seed=1)
    sample["img"][:] = 0
    sample["img"][20:30, 10:30] = 250
    results = LargeScaleJitter(160).apply(sample, JitterDraw(1.7, 0.4, 0.2, flip))
    mask = results["gt_masks"].masks[0].astype(bool)
    bright = results["img"][..., 0] > 125
    assert (mask & bright).sum() / (mask | bright).sum() > 0.93
    expected = boxes_to_window(np.array([[10, 20, 30, 30]]), results["jitter_window"])[0]
    np.testing.assert_allclose(results["gt_bboxes"].tensor[0].numpy(), expected, atol=1)


def test_masks_of_all_kinds_give_the_same_sample():
    draw = JitterDraw(1.3, 0.3, 0.1, True)
    full = np.zeros((60, 80), np.uint8)
    full[20:30, 10:30] = 1
    rle = coco_mask.encode(np.asfortranarray(full))
    runs = [10 * 60 + 20, *([10, 50] * 19), 10, 30 + 50 * 60]
    text = {**rle, "counts": rle["counts"].decode()}
    kinds = {
        "polygon": scene(),
        "rle": scene(mask=rle),
        "text rle": scene(mask=text),
        "runs": scene(mask={"size": [60, 80], "counts": runs}),
    }
    for name in ("bitmap", "loaded polygon"):
        loaded = LoadAnnotations(with_mask=True, poly2mask=name == "bitmap")(scene() | {"ori_shape": (60, 80)})
        kinds[name] = loaded
        assert isinstance(loaded["gt_masks"], BitmapMasks if name == "bitmap" else PolygonMasks)
    samples = {name: LargeScaleJitter(120).apply(sample, draw) for name, sample in kinds.items()}
    for name, sample in samples.items():
        assert sample["gt_bboxes_labels"].tolist() == [3], name
        np.testing.assert_array_equal(sample["img"], samples["polygon"]["img"], name)
        # Outlines are rasterised at the output's resolution, bitmaps give their nearest pixel.
        same_kind = samples["polygon" if "polygon" in name else "rle"]
        np.testing.assert_array_equal(sample["gt_bboxes"].tensor, same_kind["gt_bboxes"].tensor, name)
        np.testing.assert_array_equal(sample["gt_masks"].masks, same_kind["gt_masks"].masks, name)
        mask, outline = sample["gt_masks"].masks, samples["polygon"]["gt_masks"].masks
        assert (mask & outline).sum() / (mask | outline).sum() > 0.94, name


def test_a_crowd_stays_an_ignored_region():
    results = LargeScaleJitter(80).apply(scene(ignore_flag=1), WHOLE)
    assert results["gt_ignore_flags"].tolist() == [True]
    packed = PackDetInputs(meta_keys=())(results)["data_samples"]
    assert len(packed.gt_instances) == 0 and len(packed.ignored_instances) == 1


def test_an_object_outside_the_window_is_left_out():
    jitter = LargeScaleJitter(80)
    corner = jitter.apply(scene(), JitterDraw(2.0, 0.99, 0.99, False))
    assert corner["jitter_window"].origin_xy == (40, 20) and corner["img"].shape == (80, 80, 3)
    assert len(corner["gt_bboxes"]) == len(corner["gt_masks"]) == len(corner["gt_bboxes_labels"]) == 0
    assert corner["gt_masks"].masks.shape == (0, 80, 80) and corner["gt_bboxes"].tensor.shape == (0, 4)


def test_an_image_without_objects_is_a_sample():
    results = LargeScaleJitter(80).apply(scene() | {"instances": []}, WHOLE)
    assert results["gt_bboxes"].tensor.shape == (0, 4) and results["gt_ignore_flags"].dtype == bool
    PackDetInputs(meta_keys=())(results)


def test_a_one_pixel_object_keeps_its_pixel():
    square = [50.0, 40, 51, 40, 51, 41, 50, 41]
    results = LargeScaleJitter(80).apply(scene(bbox=[50, 40, 51, 41], mask=[square]), WHOLE)
    assert results["gt_bboxes"].tensor.tolist() == [[50, 40, 51, 41]]
    assert results["gt_masks"].areas.tolist() == [1]


def test_a_one_pixel_image_is_a_sample():
    sample = scene(1, 1, bbox=[0, 0, 1, 1], mask=[[0.0, 0, 1, 0, 1, 1, 0, 1]])
    results = LargeScaleJitter(16).apply(sample, JitterDraw(2.0, 0.9, 0.9, True))
    assert results["img"].shape == (16, 16, 3) and results["gt_masks"].areas.tolist() == [256]


def test_a_very_flat_image_keeps_a_row():
    results = LargeScaleJitter(64).apply(scene(2, 900) | {"instances": []}, JitterDraw(0.1, 0, 0, False))
    assert results["img"].shape == (1, 6, 3)


def test_without_masks_boxes_are_transformed_and_clipped():
    jitter = LargeScaleJitter(80, with_mask=False)
    sample = scene()
    sample["instances"] += [dict(bbox=[70, 50, 80, 60], bbox_label=1, ignore_flag=0)]
    results = jitter.apply(sample, JitterDraw(1.5, 0.0, 0.0, False))
    assert "gt_masks" not in results
    np.testing.assert_allclose(results["gt_bboxes"].tensor, [[15, 30, 45, 45]])


def test_a_segmentation_map_goes_through_the_same_window():
    sample = scene() | {"gt_seg_map": np.zeros((60, 80), np.uint8)}
    sample["gt_seg_map"][20:30, 10:30] = 7
    results = LargeScaleJitter(120).apply(sample, JitterDraw(1.6, 0.2, 0.3, True))
    np.testing.assert_array_equal(results["gt_seg_map"] == 7, results["gt_masks"].masks[0])


def test_a_segmentation_map_that_load_annotations_read_goes_through_too(tmp_path):
    cv2.imwrite(str(tmp_path / "map.png"), np.full((60, 80), 9, np.uint8))
    sample = scene() | {"seg_map_path": str(tmp_path / "map.png")}
    sample = LoadAnnotations(with_bbox=False, with_label=False, with_seg=True)(sample)
    results = LargeScaleJitter(80).apply(sample, WHOLE)
    assert results["gt_seg_map"].shape == (60, 80) and (results["gt_seg_map"] == 9).all()


def test_planes_hold_the_same_image_and_need_no_copy_in_packing():
    draw = JitterDraw(1.2, 0.5, 0.5, True)
    plain = LargeScaleJitter(80).apply(scene(), draw)
    planes = LargeScaleJitter(80, planar=True).apply(scene(), draw)
    np.testing.assert_array_equal(plain["img"], planes["img"])
    packed = PackDetInputs(meta_keys=())(planes)["inputs"]
    assert packed.data_ptr() == planes["img"].__array_interface__["data"][0]
    assert torch.equal(packed, PackDetInputs(meta_keys=())(plain)["inputs"])


def test_a_window_of_the_whole_image_is_mmdets_resize_bit_by_bit():
    image = scene(97, 131)["img"]
    for scale in (0.23, 0.61, 1.0, 1.73):
        results = LargeScaleJitter(200).apply(scene(97, 131), JitterDraw(scale, 0, 0, False))
        window = results["jitter_window"]
        if scale <= 1:
            expected = cv2.resize(image, window.size_hw[::-1])
            np.testing.assert_array_equal(results["img"], expected)


def test_a_cut_window_samples_the_same_points_as_the_whole_resized_image():
    # A ramp: its value tells the source column. In float, for cv2 rounds twice in uint8.
    image = np.arange(251, dtype=np.float32)[None, :, None].repeat(40, 0).repeat(3, 2)
    sample = dict(img=image, img_path="ramp", instances=[])
    results = LargeScaleJitter((60, 90)).apply(sample, JitterDraw(2.0, 0.5, 0.5, False))
    window = results["jitter_window"]
    columns = window.origin_xy[0] + (np.arange(window.size_hw[1]) + 0.5) / window.scale_xy[0] - 0.5
    np.testing.assert_allclose(results["img"][5, 3:-3, 0], columns[3:-3], atol=0.01)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_a_file_of_another_size_than_annotated_is_refused(tmp_path, scale):
    cv2.imwrite(str(tmp_path / "a.jpg"), scene(60, 80)["img"])
    info = {key: value for key, value in scene().items() if key != "img"}
    info |= dict(img_path=str(tmp_path / "a.jpg"), height=80, width=60)
    jitter = LargeScaleJitter(80)
    for read in (lambda: jitter.apply(dict(info), JitterDraw(scale, 0, 0, False)), lambda: jitter.pixels.read(info)):
        with pytest.raises(InputError, match=r"a\.jpg: 80 x 60 px where the annotations are for 60 x 80 px .*swapped"):
            read()


def test_a_png_is_read_in_full_where_a_jpeg_would_be_reduced(tmp_path):
    image = cv2.GaussianBlur(scene(160, 200)["img"], (0, 0), 3)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    info = dict(img_path=str(tmp_path / "a.png"), height=160, width=200, instances=[])
    results = LargeScaleJitter(200).apply(info, JitterDraw(0.2, 0, 0, False))
    np.testing.assert_array_equal(results["img"], cv2.resize(image, (40, 32)))


def test_an_object_without_a_valid_polygon_becomes_an_ignored_region():
    for mask in ([[1.0, 2, 3, 4]], [], {"counts": []}):
        results = LargeScaleJitter(80).apply(scene(mask=mask), WHOLE)
        assert results["gt_ignore_flags"].tolist() == [True], mask
        assert results["gt_bboxes"].tensor.tolist() == [[10, 20, 30, 30]]


def test_missing_masks_and_broken_files_are_refused_by_name(tmp_path):
    sample = scene()
    del sample["instances"][0]["mask"]
    with pytest.raises(InputError, match=r"without one in scene; set with_mask=False"):
        LargeScaleJitter(80).apply(sample, WHOLE)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not an image")
    with pytest.raises(InputError, match=r"broken\.jpg; restore the file"):
        LargeScaleJitter(80).apply(dict(img_path=str(tmp_path / "broken.jpg"), instances=[]), WHOLE)
    with pytest.raises(InputError, match="scale_range"):
        LargeScaleJitter(80, scale_range=(2.0, 0.1))
    with pytest.raises(InputError, match="size_hw"):
        LargeScaleJitter(0)


def samples_by(root, num_workers: int, epoch: int = 0) -> list:
    pipeline = [dict(type="frozen_det.LargeScaleJitter", size_hw=96), dict(type="PackDetInputs", meta_keys=())]
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = CocoDataset("annotations/train.json", data_root=str(root), pipeline=pipeline)
    sampler = EpochSampler(dataset, shuffle=True, seed=5)
    sampler.set_epoch(epoch)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=num_workers, collate_fn=list)
    return [sample for batch in loader for sample in batch]


def test_samples_do_not_depend_on_the_number_of_workers_and_differ_between_epochs(toy_root):
    alone, two, later = samples_by(toy_root, 0), samples_by(toy_root, 2), samples_by(toy_root, 0, epoch=1)
    assert len(alone) == 12
    for one, other in zip(alone, two):
        assert torch.equal(one["inputs"], other["inputs"])
        ours, theirs = one["data_samples"].gt_instances, other["data_samples"].gt_instances
        assert torch.equal(ours.bboxes.tensor, theirs.bboxes.tensor) and torch.equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.masks.masks, theirs.masks.masks)
    assert {tuple(s["inputs"].shape) for s in alone} != {tuple(s["inputs"].shape) for s in later}


def test_the_transform_is_built_by_name_and_pickled(coco_content):
    jitter = TRANSFORMS.build(dict(type="frozen_det.LargeScaleJitter", size_hw=(64, 96)))
    again = pickle.loads(pickle.dumps(jitter))
    assert again.size_hw == (64, 96) and json.dumps(again.scale_range) == "[0.1, 2.0]"


def test_resampling_a_part_of_the_source_gives_what_the_whole_gives():
    image = scene(100, 120)["img"]
    window = LargeScaleJitter(80).pixels.plan(scene(100, 120), JitterDraw(1.9, 0.5, 0.5, True))
    left, top = window.origin_xy[0] - 3, window.origin_xy[1] - 2
    np.testing.assert_array_equal(resampled(image[top:, left:], window, (left, top)), resampled(image, window))
