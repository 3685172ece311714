"""Tiles and mirror images: what is found in views of a picture is what is in the picture, once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.inference.batches import found_in
from frozen_det.inference.detections import Detections
from frozen_det.inference.pictures import Picture
from frozen_det.inference.views import View, Views, found_in_views, merge

CLASSES = tuple("abcdefgh")


def find_exactly(pixels, largest=10**9):
    """A detector that makes no errors: each grey value is an object, its label; blind in pictures that are larger."""
    values = [value for value in np.unique(pixels) if value and max(pixels.shape) <= largest]
    masks = np.array([pixels[..., 0] == value for value in values], bool).reshape(-1, *pixels.shape[:2])
    boxes = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in ((np.nonzero(mask)) for mask in masks)]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([0.9 - 0.1 * value for value in values], np.float32),
        np.array(values, np.int64) - 1,
        CLASSES,
        masks,
        size_hw=pixels.shape[:2],
    )


def detect(pictures, views, largest=10**9, batch_size=4, batches=None):
    def prepare(picture):
        return dict(inputs=[torch.zeros(3, *picture.bgr().shape[:2])], pictures=[picture])

    def find(batch):
        if batches is not None:
            batches.append([tuple(one.shape[1:]) for one in batch["inputs"]])
        return [find_exactly(one.bgr(), largest) for one in batch["pictures"]]

    pictures = [one if isinstance(one, Picture) else Picture(None, one) for one in pictures]
    return list(found_in_views(pictures, lambda seen: found_in(seen, prepare, find, batch_size, 1), views))


def scene(size_hw, objects):
    """Grey rectangles (left, top, right, bottom) on black, the first of value 1."""
    pixels = np.zeros((*size_hw, 3), np.uint8)
    for value, (left, top, right, bottom) in enumerate(objects, start=1):
        pixels[top:bottom, left:right] = value
    return pixels


def assert_equal(found, wanted):
    order = np.argsort(found.labels)
    for key in ("labels", "boxes_xyxy", "scores", "masks"):
        np.testing.assert_array_equal(getattr(found, key)[order], getattr(wanted, key))


def test_a_picture_that_fits_one_tile_is_detected_in_as_it_is():
    pixels, seen = scene((40, 64), [(3, 4, 20, 9)]), []
    ((_, found),) = detect([pixels], Views(64), batches=seen)
    assert seen == [[(40, 64)]]
    assert_equal(found, find_exactly(pixels))


def test_tiles_are_of_one_size_share_forward_passes_and_come_with_the_whole_picture():
    pixels, seen = scene((50, 150), []), []
    detect([pixels, pixels], Views(64, 0.25), batch_size=4, batches=seen)
    assert seen == [[(50, 64)] * 4, [(50, 64)] * 2, [(50, 150)] * 2]
    assert Views(64, 0.25).of((50, 150)) == [
        View(0, 0, 64, 50), View(48, 0, 112, 50), View(86, 0, 150, 50), View(0, 0, 150, 50)
    ]  # fmt: skip


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("largest", [64, 10**9], ids=["tiles alone see", "the whole is seen"])
def test_objects_across_borders_are_found_once_whole_and_in_place(flip, largest):
    pixels = scene((100, 180), [(60, 30, 70, 40), (0, 50, 150, 60), (175, 0, 180, 100), (20, 5, 30, 12)])
    ((picture, found),) = detect([pixels], Views(64, 0.2, flip), largest)
    assert_equal(found, find_exactly(pixels))
    assert found.size_hw == (100, 180) and found.picture is picture and list(found.scores) == sorted(found.scores)[::-1]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_objects_in_any_tiles_are_put_together_exactly(data):
    height, width = (data.draw(st.integers(33, 150)) for _ in "hw")
    objects = []
    for band in range(0, height - 8, 8):  # objects of one band do not hide those of another
        left = data.draw(st.integers(0, width - 2))
        objects.append((left, band, data.draw(st.integers(left + 1, width)), band + data.draw(st.integers(1, 8))))
    pixels = scene((height, width), objects[:8])
    views = Views(data.draw(st.integers(32, 80)), data.draw(st.floats(0.05, 0.8)), data.draw(st.booleans()))
    ((_, found),) = detect([pixels], views, views.tile)
    assert_equal(found, find_exactly(pixels))


def of_boxes(boxes, scores, labels):
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels), CLASSES)


TWO_TILES = [View(0, 0, 100, 100), View(80, 0, 180, 100)]


# Boxes of the first tile in px of the picture, of the second in its own.
PAIRS = {
    "the next tile sees it whole": ([90, 10, 100, 20], [10, 10, 40, 20], 0, [[90, 10, 120, 20]]),
    "two classes in one place": ([85, 10, 95, 20], [5, 10, 15, 20], 1, [[85, 10, 95, 20], [85, 10, 95, 20]]),
    "another beside one that is cut": ([60, 10, 100, 20], [2, 40, 9, 50], 0, [[60, 10, 100, 20], [82, 40, 89, 50]]),
    "a small one on a large one": ([81, 10, 99, 90], [5, 10, 15, 20], 0, [[81, 10, 99, 90], [85, 10, 95, 20]]),
}


@pytest.mark.parametrize(("first", "second", "label", "boxes"), PAIRS.values(), ids=PAIRS)
def test_boxes_are_one_object_where_they_agree_in_what_both_tiles_show(first, second, label, boxes):
    found = merge([of_boxes([first], [0.9], [0]), of_boxes([second], [0.5], [label])], TWO_TILES, None, (100, 180))
    assert found.boxes_xyxy.tolist() == boxes
    assert found.scores.tolist() == pytest.approx([0.9, 0.5][: len(boxes)])
    assert found.labels.tolist() == [0, label][: len(boxes)]


def test_boxes_of_one_tile_stay_as_their_detector_gave_them():
    near = of_boxes([[10, 10, 30, 30], [11, 10, 30, 30]], [0.9, 0.8], [0, 0])
    found = merge([near, of_boxes(np.zeros((0, 4)), [], [])], TWO_TILES, None, (100, 180))
    np.testing.assert_array_equal(found.boxes_xyxy, near.boxes_xyxy)


def test_mirror_images_are_merged_as_mmdet_merges_them():
    from mmdet.models.test_time_augs import DetTTAModel
    from mmdet.structures import DetDataSample
    from mmengine.config import ConfigDict
    from mmengine.structures import InstanceData
    from torchvision.ops import batched_nms

    rng, size = np.random.default_rng(0), (90, 120)
    views, samples = [View(0, 0, 120, 90), View(0, 0, 120, 90, True)], []
    base = rng.uniform(0, 60, (60, 2))
    base = np.concatenate([base, base + rng.uniform(8, 30, (60, 2))], axis=1)
    for flip in (False, True):
        boxes = torch.tensor(base + rng.uniform(-4, 4, (60, 4)), dtype=torch.float32)
        scores, labels = torch.tensor(rng.uniform(0.05, 1, 60), dtype=torch.float32), torch.arange(60) % 3
        kept = batched_nms(boxes, scores, labels, 0.5)  # as a detector gives them
        meta = dict(ori_shape=size, flip=flip, flip_direction="horizontal" if flip else None)
        if flip:
            boxes = torch.stack([120 - boxes[:, 2], boxes[:, 1], 120 - boxes[:, 0], boxes[:, 3]], dim=1)
        found = InstanceData(bboxes=boxes[kept], scores=scores[kept], labels=labels[kept])
        samples.append(DetDataSample(metainfo=meta, pred_instances=found))
    host = SimpleNamespace(tta_cfg=ConfigDict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=1000))
    host.merge_aug_bboxes = DetTTAModel.merge_aug_bboxes.__get__(host)
    wanted = DetTTAModel._merge_single_sample(host, samples).pred_instances
    given = [
        of_boxes(one.pred_instances.bboxes, one.pred_instances.scores, one.pred_instances.labels.numpy())
        for one in samples
    ]
    found = merge(given, views, None, size)
    assert 60 < len(found) < len(given[0]) + len(given[1])
    np.testing.assert_allclose(found.boxes_xyxy, wanted.bboxes.numpy(), atol=1e-5)
    np.testing.assert_array_equal(found.scores, wanted.scores.numpy())
    np.testing.assert_array_equal(found.labels, wanted.labels.numpy())


def test_pictures_keep_their_order_around_one_that_cannot_be_read(tmp_path):
    broken, good = Picture(tmp_path / "gone.jpg"), scene((40, 70), [(3, 4, 20, 9)])
    found = [one for _, one in detect([broken, good, broken, good, broken], Views(32, 0.2, True))]
    assert [isinstance(one, InputError) for one in found] == [True, False, True, False, True]
    assert_equal(found[3], find_exactly(good))


def test_of_several_detectors_each_has_its_own():
    pixels = scene((40, 70), [(3, 4, 60, 9)])

    def each(pictures):
        yield from ((one, {"a": find_exactly(one.bgr()), "b": find_exactly(one.bgr(), 32)}) for one in pictures)

    ((_, found),) = found_in_views([Picture(None, pixels)], each, Views(32, 0.2))
    for one in found.values():
        assert_equal(one, find_exactly(pixels))


def test_panoptic_maps_are_refused():
    one = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), CLASSES, panoptic=np.zeros((100, 100)))
    with pytest.raises(InputError, match="got one with panoptic maps"):
        merge([one, one], TWO_TILES, None, (100, 180))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (dict(tile=31), "a tile of whole px from 32 on, got 31"),
        (dict(tile=64.0), "got 64.0"),
        (dict(tile=True), "got True"),
        (dict(overlap=1.0), "from 0 to below 1, got 1.0"),
        (dict(overlap=float("nan")), "got nan"),
        (dict(overlap=-0.1), "got -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings_, message):
    with pytest.raises(InputError, match=message):
        Views(**settings_)
