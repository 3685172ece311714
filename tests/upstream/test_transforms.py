"""Train and eval transforms: timm's where the recipes mean timm's, sizes in pixels, draws by seed."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.epoch import EpochSampler
from frozen_det.datasets.samplers.seeding import SampleIndex, seeded
from frozen_det.errors import InputError
from frozen_det.upstream.datasets import ImageFolder, collate_images
from frozen_det.upstream.transforms import PRESETS, EvalTransform, TrainTransform, rand_augment_like_timm

from .image_sets import write_folder


@pytest.fixture(scope="module")
def picture():
    """A photograph-like image, 90 wide and 70 high: smooth colours with noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:70, 0:90]
    smooth = np.stack([rows * 3, columns * 2, (rows + columns)], axis=-1)
    return Image.fromarray((smooth + rng.integers(0, 30, (70, 90, 3))).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("rounding, short_side", [("floor", 235), ("round", 236)])
def test_the_crop_ratio_of_rsb_resizes_to_235_pixels_or_236_where_requested(rounding, short_side):
    assert EvalTransform(224, crop_ratio=0.95, rounding=rounding).resize == short_side
    assert EvalTransform(224, crop_ratio=0.875).resize == 256
    assert EvalTransform(224, resize=232, interpolation="bilinear").resize == 232


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_eval_gives_the_pixels_of_timm(picture, interpolation):
    from timm.data import create_transform

    timms = create_transform(48, is_training=False, interpolation=interpolation, crop_pct=0.95, normalize=False)
    ours = EvalTransform(48, crop_ratio=0.95, interpolation=interpolation)(picture)
    theirs = timms(picture)
    theirs = theirs if theirs.dtype == torch.uint8 else (theirs * 255).round().to(torch.uint8)
    assert ours.dtype == torch.uint8 and torch.equal(ours, theirs)


def test_randaugment_is_that_of_timms_own_loader_for_each_seed(picture):
    from timm.data import create_transform

    def timms_randaugment():
        steps = create_transform(
            64, is_training=True, auto_augment="rand-m7-mstd0.5-inc1", interpolation="bicubic"
        ).transforms
        return next(step for step in steps if type(step).__name__ == "RandAugment")

    theirs, ours = timms_randaugment(), rand_augment_like_timm("rand-m7-mstd0.5-inc1", 64, "bicubic")
    changed = 0
    for seed in range(25):
        results = []
        for augment in (theirs, ours):
            random.seed(seed)
            np.random.seed(seed)
            results.append(np.asarray(augment(picture)))
        assert np.array_equal(*results)
        changed += not np.array_equal(results[0], np.asarray(picture))
    assert 15 <= changed <= 24  # each of two operations is applied with probability one half


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_one_image_for_one_seed_and_others_for_others(picture, preset):
    transform = TrainTransform(preset, size=32)
    results = []
    for seed in (1, 1, 2, 3):
        with seeded(seed):
            results.append(transform(picture))
    assert results[0].shape == (3, 32, 32) and results[0].dtype == torch.uint8
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2]) and not torch.equal(results[2], results[3])


def test_presets_hold_the_values_of_their_recipes():
    def settings(preset, **given):
        return TrainTransform(preset, **given).settings

    rest = dict(trivial_augment=False, color_jitter=0.0, lighting=0.0, erase_prob=0.0, erase_mode="mean")
    assert settings("rsb") == dict(interpolation="bicubic", rand_augment="rand-m7-mstd0.5-inc1", **rest)
    assert settings("rsb-a3") == dict(interpolation="bicubic", rand_augment="rand-m6-mstd0.5-inc1", **rest)
    assert settings("cutmix-imagenet") == dict(
        interpolation="bilinear",
        rand_augment="",
        trivial_augment=False,
        color_jitter=0.4,
        lighting=0.1,
        erase_prob=0.0,
        erase_mode="mean",
    )
    assert settings("torchvision-v2") == dict(
        interpolation="bilinear",
        rand_augment="",
        trivial_augment=True,
        color_jitter=0.0,
        lighting=0.0,
        erase_prob=0.1,
        erase_mode="mean",
    )
    assert settings("deit") == dict(
        interpolation="bicubic",
        rand_augment="rand-m9-mstd0.5-inc1",
        trivial_augment=False,
        color_jitter=0.0,
        lighting=0.0,
        erase_prob=0.25,
        erase_mode="noise",
    )
    assert settings("rsb", rand_augment="", color_jitter=0.2)["rand_augment"] == ""


def test_rand_augment_of_a_preset_acts_after_crop_and_flip(picture):
    steps = [type(step).__name__ for step in TrainTransform("rsb", size=32).on_image]
    assert steps == ["RandomResizedCrop", "RandomHorizontalFlip", "RandAugment"]


def test_lighting_moves_all_pixels_alike_along_the_colours_of_imagenet():
    grey = torch.full((3, 8, 8), 128, dtype=torch.uint8)
    transform = TrainTransform("basic", size=8, lighting=0.1)
    torch.manual_seed(0)
    shifts = torch.stack([transform.on_pixels[0](grey) for _ in range(800)]).float() - 128
    assert torch.equal(shifts.amax((2, 3)), shifts.amin((2, 3)))
    # sum over components of (vector * 0.1 * value * 255) squared, by hand for red
    expected = 25.5 * ((0.5675 * 0.2175) ** 2 + (0.7192 * 0.0188) ** 2 + (0.4009 * 0.0045) ** 2) ** 0.5
    assert shifts[:, 0, 0, 0].std().item() == pytest.approx(expected, rel=0.08)
    assert np.corrcoef(shifts[:, 0, 0, 0], shifts[:, 1, 0, 0])[0, 1] > 0.95


def test_an_erased_rectangle_has_the_mean_pixel():
    transform = TrainTransform("basic", size=32, erase_prob=1.0)
    torch.manual_seed(0)
    erased = transform(Image.new("RGB", (32, 32)))
    assert set(map(tuple, erased.flatten(1).T.tolist())) == {(0, 0, 0), (124, 116, 104)}


def test_a_rectangle_of_noise_has_the_colours_of_imagenet_and_the_rest_stays():
    transform = TrainTransform("basic", size=64, erase_prob=1.0, erase_mode="noise")
    torch.manual_seed(0)
    random.seed(0)
    image = Image.new("RGB", (64, 64), (1, 2, 3))
    erased = torch.cat([transform(image).flatten(1) for _ in range(40)], dim=1).float()  # (3, pixels)
    noise = erased[:, (erased != torch.tensor([[1.0], [2.0], [3.0]])).any(0)]
    assert 0.02 < noise.shape[1] / erased.shape[1] < 1 / 3
    # Cutting to 0..255 pulls the mean and the deviation in a little.
    assert noise.mean(1).tolist() == pytest.approx([124, 116, 104], abs=3)
    assert noise.std(1).tolist() == pytest.approx([57, 56, 56], abs=4)


def test_batches_of_augmented_files_do_not_depend_on_the_workers(tmp_path):
    write_folder(tmp_path, {"ash": 6, "birch": 6}, size=40)

    def run(num_workers):
        dataset = ImageFolder(tmp_path, transform=dict(type="frozen_det.TrainTransform", preset="rsb", size=24))
        loader = DataLoader(
            dataset,
            batch_size=5,
            sampler=EpochSampler(dataset, seed=4),
            collate_fn=collate_images,
            num_workers=num_workers,
        )
        return torch.cat([batch["inputs"] for batch in loader])

    alone = run(0)
    assert torch.equal(alone, run(2)) and alone.shape == (12, 3, 24, 24)


def test_a_sample_leaves_the_runs_own_randomness_alone(tmp_path):
    write_folder(tmp_path, {"ash": 1}, size=40)
    dataset = ImageFolder(tmp_path, transform=dict(type="frozen_det.TrainTransform", preset="rsb", size=24))
    before = torch.get_rng_state(), random.getstate()
    dataset[SampleIndex(0, 1, 2)]
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: TrainTransform("rbs"), r"preset as one of .* got 'rbs'; did you mean 'rsb'"),
        (lambda: TrainTransform(size=0), r"whole number of pixels from 1 on, got 0 \(transform.size\)"),
        (lambda: TrainTransform(interpolation="cubic"), r"got 'cubic' \(transform.interpolation\)"),
        (lambda: TrainTransform("rsb", trivial_augment=True), "rand_augment or trivial_augment, got both"),
        (lambda: TrainTransform(rand_augment="m7"), r"timm's notation.* got 'm7' \(transform.rand_augment\)"),
        (lambda: TrainTransform(erase_mode="pixel"), "'mean' or 'noise', got 'pixel'"),
        (lambda: EvalTransform(rounding="up"), r"'floor' or 'round', got 'up'"),
        (lambda: EvalTransform(crop_ratio=1.5), r"crop_ratio in \(0, 1\], got 1.5"),
        (lambda: EvalTransform(224, resize=200), "at least the crop's 224 px, got 200"),
    ],
)
def test_a_bad_setting_is_one_message(make, said):
    with pytest.raises(InputError, match=said):
        make()
