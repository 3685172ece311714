"""Images other than the annotated ones are refused, with EXIF's part in it; what is odd is named once, with counts."""

import cv2
import numpy as np
import pytest
from PIL import Image

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.images.check import ImageCheck, decoded_size_fault
from frozen_det.datasets.images.pixels import PixelReader
from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError

from .test_head import COLOUR, RAMP, _oriented

pytestmark = pytest.mark.usefixtures("mmdet_scope")

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]


def _saved(path, orientation=1, pixels=COLOUR, **options):
    Image.fromarray(pixels).save(path, exif=_oriented(orientation), **options)
    return str(path)


def _check(**settings):
    return ImageCheck(PixelReader(**settings), "val.json")


def test_a_quarter_turn_by_exif_is_named_with_both_sizes(tmp_path):
    path = _saved(tmp_path / "x.jpg", 6)
    assert _check().fault(path, (80, 60)) is None
    fault = _check().fault(path, (60, 80))
    assert fault.startswith(
        "60 x 80 px where the annotations are for 80 x 60 px (width x height): it is stored as "
        "80 x 60 and turned by its EXIF data (orientation 6)"
    )
    assert _check(color_type="color_ignore_orientation").fault(path, (60, 80)) is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_the_size_that_counts_is_the_one_that_is_decoded(tmp_path, suffix, backend):
    """OpenCV turns some formats and not others; the check agrees with it on each."""
    path = _saved(tmp_path / f"x.{suffix}", 6)
    decoded_hw = PixelReader(imdecode_backend=backend).bgr(path).shape[:2]
    assert _check(imdecode_backend=backend).fault(path, decoded_hw) is None
    assert _check(imdecode_backend=backend).fault(path, decoded_hw[::-1]) is not None


def test_swapped_and_other_sizes_are_faults_of_one_line(tmp_path):
    path = _saved(tmp_path / "x.png")
    assert _check().fault(path, (80, 60)) == (
        "80 x 60 px where the annotations are for 60 x 80 px (width x height) (width and height are swapped)"
    )
    assert _check().fault(path, (60, 81)) == "80 x 60 px where the annotations are for 81 x 60 px (width x height)"


def test_sixteen_bits_are_refused_where_the_loader_would_clip_them(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), RAMP.astype(np.uint16) * 257)
    assert _check().fault(str(tmp_path / "x.png"), (60, 80)) is None
    assert "clips" in _check(imdecode_backend="pillow").fault(str(tmp_path / "x.png"), (60, 80))


def _names(tmp_path, paths) -> list[str]:
    check = _check()
    assert check.look([(str(path), (60, 80)) for path in paths]) is None
    return sorted(check._named)


def test_what_is_odd_is_named_once_with_counts(tmp_path, log_lines):
    transparent = np.dstack([COLOUR, np.full((60, 80), 9, np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([COLOUR, np.full((60, 80), 255, np.uint8)])).save(tmp_path / "opaque.png")
    cv2.imwrite(str(tmp_path / "twelve_bits.png"), RAMP.astype(np.uint16) * 16)
    Image.fromarray(COLOUR).save(tmp_path / "g.webp", save_all=True, append_images=[Image.fromarray(COLOUR[:, ::-1])])
    paths = [tmp_path / name for name in ("a.png", "opaque.png", "twelve_bits.png", "g.webp")]
    paths += [_saved(tmp_path / f"{i}.jpg", 3) for i in range(2)]
    _names(tmp_path, paths)
    for part in (
        "1 of 6 images looked at are with transparent pixels",
        "1 of 6 images looked at are nearly black",
        "1 of 6 images looked at are of several frames",
        "2 of 6 images looked at are turned or mirrored by EXIF",
    ):
        assert sum(part in line for line in log_lines) == 1, part
    assert len(log_lines) == 4 and all(line.startswith("val.json: ") for line in log_lines)


def test_a_turn_that_the_size_confirms_is_not_named(tmp_path):
    check = _check()
    assert check.look([(_saved(tmp_path / "x.jpg", 6), (80, 60))]) is None and not check._named


def test_a_file_outside_the_sample_is_named_when_it_is_used(tmp_path, log_lines):
    check = _check()
    for name in "ab":
        assert check.fault(_saved(tmp_path / f"{name}.jpg", 3), (60, 80)) is None
    assert len(log_lines) == 1 and "a.jpg is turned or mirrored" in log_lines[0]


def test_a_dataset_refuses_another_size_before_the_first_sample(coco_root, coco_content):
    coco_content["images"][1].update(width=80, height=60)
    root = coco_root(coco_content)
    with pytest.raises(
        InputError,
        match=r"as one of .*train\.json, got .*b\.jpg: 40 x 30 px where the annotations are "
        r"for 80 x 60 px .*on_broken_image='skip'",
    ):
        CocoDataset("annotations/train.json", data_root=str(root), pipeline=LOAD)


def test_a_box_outside_an_image_of_another_size_is_explained_by_the_size(coco_root, coco_content):
    coco_content["images"][1].update(width=20, height=15)
    coco_content["annotations"][2].update(bbox=[25, 20, 5, 5])
    with pytest.raises(InputError, match="40 x 30 px where the annotations are for 20 x 15 px"):
        CocoDataset("annotations/train.json", data_root=str(coco_root(coco_content)), pipeline=LOAD)


def test_an_image_of_another_size_is_skipped_in_training_where_it_may_be(coco_root, coco_content, log_lines):
    coco_content["images"][1].update(width=80, height=60)
    root = coco_root(coco_content)
    dataset = CocoDataset("annotations/train.json", data_root=str(root), pipeline=LOAD, on_broken_image="skip")
    assert dataset[SampleIndex(1, 0, 0)]["data_samples"].img_id == 1 and "skipped" in log_lines[-1]
    with pytest.raises(InputError, match="80 x 60"):
        CocoDataset(
            "annotations/train.json", data_root=str(root), pipeline=LOAD, on_broken_image="skip", test_mode=True
        )


RESIZED = [
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="RandomResize", scale=(100, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomResize", scale=[(64, 64), (99, 99)], keep_ratio=True),
    dict(type="RandomChoiceResize", scales=[(99, 99), (64, 64)], keep_ratio=True),
]


def _thin(coco_root, coco_content):
    coco_content["images"][1].update(width=3000, height=1)
    coco_content["annotations"][2].update(bbox=[10, 0, 300, 1], area=300)
    root = coco_root(coco_content)
    cv2.imwrite(str(root / "images/b.jpg"), np.zeros((1, 3000, 3), np.uint8))
    return str(root)


@pytest.mark.parametrize("resize", RESIZED, ids=str)
@pytest.mark.parametrize("test_mode", [False, True])
def test_an_image_of_which_a_resize_leaves_nothing_is_refused_with_both_sizes(
    coco_root, coco_content, resize, test_mode
):
    root = _thin(coco_root, coco_content)
    settings = dict(data_root=root, pipeline=[LOAD[0], LOAD[1], resize, LOAD[2]])
    with pytest.raises(InputError, match=r"b\.jpg: 3000 x 1 px .*rounded to 0 where .* fit into (64 x 64|50 x 32)"):
        CocoDataset("annotations/train.json", test_mode=test_mode, **settings)
    if not test_mode:
        dataset = CocoDataset("annotations/train.json", on_broken_image="skip", **settings)
        assert len(dataset) == 2 and dataset[SampleIndex(1, 0, 0)]["data_samples"].img_id == 1


def test_a_thin_image_that_is_cropped_first_is_refused_with_its_sample(coco_root, coco_content):
    steps = [dict(type="RandomCrop", crop_size=(2000, 1), allow_negative_crop=True), RESIZED[0]]
    pipeline = [LOAD[0], LOAD[1], *steps, LOAD[2]]
    dataset = CocoDataset("annotations/train.json", data_root=_thin(coco_root, coco_content), pipeline=pipeline)
    with pytest.raises(InputError, match=r"as sample 1 of .*b\.jpg: 3000 x 1 px .*resizes to a side of 0"):
        dataset[1]


def test_a_resize_without_the_ratio_and_jitter_take_thin_images(coco_root, coco_content):
    root = _thin(coco_root, coco_content)
    for pipeline in (
        [LOAD[0], LOAD[1], dict(type="Resize", scale=(64, 64), keep_ratio=False), LOAD[2]],
        [dict(type="frozen_det.LargeScaleJitter", size_hw=64, with_mask=False), LOAD[2]],
    ):
        dataset = CocoDataset("annotations/train.json", data_root=root, pipeline=pipeline)
        assert min(dataset[1]["inputs"].shape[1:]) >= 1


def test_one_file_under_two_entries_is_refused(coco_root, coco_content):
    coco_content["images"][1]["file_name"] = "./a.jpg"
    with pytest.raises(InputError, match=r"each image file once in 'images', got .*/a\.jpg 2 times \(ids 1, 2\)"):
        CocoDataset("annotations/train.json", data_root=str(coco_root(coco_content)), pipeline=LOAD)


def test_the_size_of_an_image_that_is_no_local_file_is_compared_after_loading():
    class Packed:
        ori_shape = (30, 40)

    info = dict(img_path="s3://bucket/a.jpg", height=30, width=40)
    assert decoded_size_fault({"data_samples": Packed}, info) is None and decoded_size_fault([], info) is None
    assert "40 x 30 px where the annotations are for 40 x 31" in decoded_size_fault(
        {"data_samples": Packed}, {**info, "height": 31}
    )


@pytest.mark.parametrize(
    "settings,message", [(dict(color_type="grayscale"), "RGB only"), (dict(imdecode_backend="tifffile"), "8-bit RGB")]
)
def test_a_dataset_refuses_a_loader_of_other_channels(coco_root, settings, message):
    with pytest.raises(InputError, match=message):
        CocoDataset(
            "annotations/train.json", data_root=str(coco_root()), pipeline=[dict(type="LoadImageFromFile", **settings)]
        )
