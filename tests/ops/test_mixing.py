"""Batch mixing: boxes, pasted pixels, label weights, partners; against timm and torchvision where they agree."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.data.mixup import cutmix_bbox_and_lam
from torchvision.transforms import v2

from frozen_det.errors import InputError
from frozen_det.ops import mixing
from frozen_det.ops.mixing import (
    Mixed,
    MixingDraw,
    clipped_box,
    cutmix,
    cutmix_box,
    cutmix_drawn,
    cutout,
    draw_mixing,
    erase_boxes,
    kept_share,
    mixup,
    mixup_drawn,
    paste_partners,
    soft_targets,
)


def two_term_loss(loss, logits, mixed):
    """``lam * loss(logits, labels_a) + (1 - lam) * loss(logits, labels_b)``, the form of the authors' code."""
    return mixed.lam * loss(logits, mixed.labels_a) + (1 - mixed.lam) * loss(logits, mixed.labels_b)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(num, size_hw, dtype=torch.float32):
    """Images of constant value, the image's own index: a pixel shows which image it comes from."""
    return torch.arange(num, dtype=dtype)[:, None, None, None].expand(num, 3, *size_hw).clone()


sides = st.integers(1, 70)
shares = st.floats(0, 1, exclude_max=True)
permutations = st.integers(1, 9).flatmap(lambda n: st.permutations(range(n)))


@given(sides, sides, shares, shares, st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=300, deadline=None)
def test_a_box_lies_in_the_image_about_its_centre_and_loses_only_what_is_outside(height, width, u, v, cut_h, cut_w):
    x1, y1, x2, y2 = clipped_box((height, width), (u, v), (cut_h, cut_w))
    assert 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height
    for low, high, centre, cut, side in (
        (x1, x2, int(u * width), cut_w, width),
        (y1, y2, int(v * height), cut_h, height),
    ):
        inside = [p for p in range(centre - cut // 2, centre - cut // 2 + cut) if 0 <= p < side]
        assert list(range(low, high)) == inside


@pytest.mark.parametrize("cut", [7, 8])
def test_an_odd_side_keeps_its_last_pixel(cut):
    x1, y1, x2, y2 = clipped_box((64, 64), (0.5, 0.5), (cut, cut))
    assert (x2 - x1, y2 - y1) == (cut, cut)


@given(st.floats(0, 1), shares, shares, sides, sides)
@settings(max_examples=200, deadline=None)
def test_the_label_weight_is_the_share_of_pixels_that_stayed(lam, u, v, height, width):
    images = numbered(3, (height, width))
    draw = MixingDraw(lam, (u, v), torch.tensor([1, 2, 0]))
    mixed, weight = cutmix_drawn(images, draw)
    for i in range(3):
        assert weight == pytest.approx((mixed[i] == i).double().mean().item(), abs=1e-12)
    # Each pixel is that of one source, the untouched image: no pasting of what was pasted before.
    assert all(set(mixed[i].unique().tolist()) <= {i, (i + 1) % 3} for i in range(3))
    # The rectangles lie at the same place in all images.
    pasted = mixed != images
    assert torch.equal(pasted[0], pasted[1]) and torch.equal(pasted[0], pasted[2])


def test_the_mean_pasted_share_is_that_of_clipped_boxes():
    closed_form = 1 / 2 - 1 / 5 + 1 / 48  # expectation of (1 - lam) times the visible part, on a continuous image
    generator, images = seeded(), torch.zeros(1, 1, 224, 224)
    pasted = [1 - cutmix_drawn(images, draw_mixing(1, 1.0, generator), in_place=True)[1] for _ in range(10_000)]
    assert np.mean(pasted) == pytest.approx(0.321, abs=0.01)
    assert closed_form == pytest.approx(0.3208, abs=5e-5)
    # Whole pixels, rounded down, cost less than one per side.
    assert np.mean(pasted) == pytest.approx(closed_form, abs=2 / 224 + 3 * np.std(pasted) / 100)


def test_lam_is_from_the_beta_distribution_requested():
    for alpha in (0.1, 0.2, 1.0, 4.0):
        generator = seeded(3)
        lams = [draw_mixing(2, alpha, generator).lam for _ in range(4000)]
        assert np.mean(lams) == pytest.approx(0.5, abs=0.03)
        assert np.var(lams) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)
        assert min(lams) >= 0 and max(lams) <= 1


def test_height_and_width_are_not_swapped():
    x1, y1, x2, y2 = cutmix_box((32, 64), MixingDraw(0.75, (0.5, 0.5), torch.tensor([0])))
    assert (y2 - y1, x2 - x1) == (16, 32)
    mixed, _ = cutmix_drawn(numbered(2, (32, 64)), MixingDraw(0.75, (0.5, 0.5), torch.tensor([1, 0])))
    assert mixed[0, 0].any(1).sum() == 16 and mixed[0, 0].any(0).sum() == 32


@given(permutations, st.booleans(), st.sampled_from([torch.float32, torch.uint8, torch.float16]))
@settings(max_examples=100, deadline=None)
def test_writing_in_place_along_cycles_gives_what_gathering_gives(partners, channels_last, dtype):
    images = torch.randint(0, 200, (len(partners), 3, 8, 6), generator=seeded()).to(dtype)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    draw = MixingDraw(0.37, (0.4, 0.7), torch.tensor(partners))
    gathered = images[draw.partners]
    pasted = images.clone()
    pasted[..., 3:7, 1:4] = gathered[..., 3:7, 1:4]
    blended = 0.37 * images.double() + 0.63 * gathered.double()
    for in_place in (False, True):
        source = images.clone()
        assert torch.equal(paste_partners(source, draw.partners, (1, 3, 4, 7), in_place), pasted)
        assert torch.equal(source, pasted if in_place else images)
        source = images.clone()
        mixed = mixup_drawn(source, draw, in_place)
        tolerance = {torch.float32: 1e-4, torch.uint8: 0.5 + 1e-4, torch.float16: 0.2}[dtype]
        assert mixed.dtype == dtype and (mixed.double() - blended).abs().max() <= tolerance
        assert torch.equal(source, mixed if in_place else images)


@pytest.mark.parametrize("in_place", [False, True])
def test_with_lam_one_a_batch_stays_bit_for_bit(in_place):
    images, draw = torch.randn(5, 3, 9, 9), MixingDraw(1.0, (0.3, 0.3), torch.tensor([1, 2, 3, 4, 0]))
    mixed, lam = cutmix_drawn(images.clone(), draw, in_place=in_place)
    assert lam == 1.0 and torch.equal(mixed, images)
    assert torch.equal(mixup_drawn(images.clone(), draw, in_place), images)
    labels = torch.tensor([0, 1, 2, 3, 3])
    assert torch.equal(soft_targets(labels, labels[draw.partners], 1.0, 4), F.one_hot(labels, 4).float())
    logits = torch.randn(5, 4)
    mixed = Mixed(images, labels, labels[draw.partners], 1.0)
    assert torch.equal(two_term_loss(F.cross_entropy, logits, mixed), F.cross_entropy(logits, labels))


@given(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_two_losses_are_one_loss_of_soft_labels(lam, smoothing, seed):
    logits = 3 * torch.randn(12, 7, generator=seeded(seed), dtype=torch.float64)
    labels_a, labels_b = torch.randint(0, 7, (2, 12), generator=seeded(seed + 1))
    mixed = Mixed(logits, labels_a, labels_b, lam)
    two = two_term_loss(lambda x, y: F.cross_entropy(x, y, label_smoothing=smoothing), logits, mixed)
    one = F.cross_entropy(logits, soft_targets(labels_a, labels_b, lam, 7, smoothing).double())
    assert two.item() == pytest.approx(one.item(), abs=1e-6)


def test_partners_come_from_all_over_the_batch_also_where_neighbours_are_copies():
    # Repeated augmentation: every image three times in a row.
    source = torch.arange(256 * 3) // 3
    generator, batch = seeded(), 768
    own = [(source[draw_mixing(batch, 1.0, generator).partners] == source).float().mean().item() for _ in range(200)]
    assert np.mean(own) == pytest.approx(3 / batch, rel=0.2)
    assert (source.roll(1) == source).float().mean() == pytest.approx(2 / 3, abs=0.01)  # torchvision's pairs


@given(st.floats(0.001, 0.999), st.integers(0, 31), st.integers(0, 47))
@settings(max_examples=80, deadline=None)
def test_box_weight_and_pixels_are_those_of_timm(lam, centre_y, centre_x):
    centre = [centre_y, centre_x]  # the order in which timm asks for it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *args, **kwargs: centre.pop(0))
        (yl, yh, xl, xh), weight = cutmix_bbox_and_lam((4, 3, 32, 48), lam)
    images = torch.randn(4, 3, 32, 48, generator=seeded())
    expected = images.clone()
    expected[:, :, yl:yh, xl:xh] = images.flip(0)[:, :, yl:yh, xl:xh]
    draw = MixingDraw(lam, ((centre_x + 0.5) / 48, (centre_y + 0.5) / 32), torch.tensor([3, 2, 1, 0]))
    mixed, own_weight = cutmix_drawn(images, draw)
    assert cutmix_box((32, 48), draw) == (xl, yl, xh, yh)
    assert own_weight == pytest.approx(weight, abs=1e-12) and torch.equal(mixed, expected)


def test_blended_pixels_and_targets_are_those_of_timm(monkeypatch):
    from timm.data import Mixup

    images, labels = torch.randn(4, 3, 8, 8, generator=seeded()), torch.tensor([0, 2, 2, 1])
    other = Mixup(mixup_alpha=0.5, num_classes=3, label_smoothing=0.1)
    monkeypatch.setattr(np.random, "beta", lambda *a: 0.3)
    expected, targets = other(images.clone(), labels)
    draw = MixingDraw(0.3, (0, 0), torch.tensor([3, 2, 1, 0]))
    assert torch.allclose(mixup_drawn(images, draw), expected, atol=1e-6)
    assert torch.allclose(soft_targets(labels, labels[draw.partners], 0.3, 3, 0.1), targets, atol=1e-6)


@pytest.mark.parametrize("kind", [v2.CutMix, v2.MixUp])
def test_pixels_and_targets_are_those_of_torchvision(kind, monkeypatch):
    images, labels = torch.randn(5, 3, 32, 32, generator=seeded()), torch.tensor([0, 2, 2, 1, 4])
    partners = torch.arange(5).roll(1)
    other = kind(num_classes=5)
    monkeypatch.setattr(other, "_dist", torch.distributions.Beta(torch.tensor([1.0]), torch.tensor([1.0])))
    torch.manual_seed(4)
    drawn = {}
    name = "make_params" if hasattr(other, "make_params") else "_get_params"  # before torchvision 0.21
    make = getattr(other, name)
    monkeypatch.setattr(other, name, lambda inputs: drawn.update(make(inputs)) or drawn)
    expected, targets = other(images, labels)
    if kind is v2.CutMix:
        mixed, lam = paste_partners(images, partners, drawn["box"]), kept_share((32, 32), drawn["box"])
        assert lam == pytest.approx(drawn["lam_adjusted"]) and 0 < lam < 1
        assert torch.equal(mixed, expected)
    else:
        lam = drawn["lam"]
        assert torch.allclose(mixup_drawn(images, MixingDraw(lam, (0, 0), partners)), expected, atol=1e-6)
    assert torch.allclose(soft_targets(labels, labels[partners], lam, 5), targets, atol=1e-6)


def test_the_same_generator_state_gives_the_same_batch_and_another_state_another():
    images, labels = torch.randn(6, 3, 16, 16), torch.arange(6)
    for mix in (cutmix, mixup):
        first, again, other = (mix(images, labels, 1.0, seeded(s)) for s in (1, 1, 2))
        assert first.lam == again.lam and torch.equal(first.images, again.images)
        assert torch.equal(first.labels_b, again.labels_b) and first.lam != other.lam


@pytest.mark.parametrize("mix", [cutmix, mixup])
@pytest.mark.parametrize("num", [0, 1, 3])
def test_odd_single_and_empty_batches_are_mixed_too(mix, num):
    images, labels = torch.randn(num, 3, 8, 8), torch.arange(num)
    for in_place in (False, True):
        mixed = mix(images.clone(), labels, 1.0, seeded(5), in_place=in_place)
        assert mixed.images.shape == images.shape and sorted(mixed.labels_b.tolist()) == labels.tolist()
        if num == 1:
            assert torch.equal(mixed.images, images)


def test_a_hole_is_cut_in_each_image_at_its_own_place_and_clipped():
    images = torch.ones(400, 3, 20, 30)
    holed = cutout(images, 8, seeded())
    assert images.min() == 1  # the source is left alone
    empty = holed[:, 0] == 0
    rows, columns = empty.any(2).sum(1), empty.any(1).sum(1)
    assert torch.equal(empty.sum((1, 2)), rows * columns) and torch.equal(holed[:, 0], holed[:, 2])
    assert rows.max() == 8 and rows.min() == 4 and columns.max() == 8 and columns.min() == 4
    # A centre is uniform: it is far enough from the border on both axes with (1 - 7/20) (1 - 7/30).
    assert ((rows == 8) & (columns == 8)).float().mean() == pytest.approx(13 / 20 * 23 / 30, abs=0.08)
    assert torch.equal(cutout(images, 8, seeded(), fill=0.5).eq(0.5)[:, 0], empty)


def test_holes_by_a_mask_are_those_by_slices():
    images = torch.randn(5, 3, 9, 7)
    boxes_xyxy = [(0, 0, 3, 2), (2, 1, 7, 9), (6, 8, 7, 9), (3, 3, 3, 5), (0, 0, 7, 9)]
    sliced = erase_boxes(images.clone(), boxes_xyxy, 2.0)
    assert torch.equal(images.masked_fill(mixing._inside_boxes(images, boxes_xyxy), 2.0), sliced)
    assert torch.equal(sliced[3], images[3]) and (sliced[4] == 2).all()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_off_the_cpu_no_value_is_read_back_by_the_host(in_place, dtype):
    # Meta tensors have no values: reading one raises, as waiting for a GPU would cost.
    images, labels = torch.zeros(6, 3, 16, 12, dtype=dtype, device="meta"), torch.arange(6).to("meta")
    with pytest.raises(RuntimeError):
        labels.tolist()
    assert not mixing._map_by_map(images)  # a launch per image would be slow
    for mix in (cutmix, mixup):
        mixed = mix(images, labels, 1.0, seeded(), in_place=in_place)
        assert mixed.images.is_meta and mixed.labels_b.is_meta and isinstance(mixed.lam, float)
        assert (mixed.images is images) == in_place
        assert soft_targets(mixed.labels_a, mixed.labels_b, mixed.lam, 9, 0.1).shape == (6, 9)
    assert cutout(images, 5, seeded(), in_place=in_place).shape == images.shape


def test_off_the_cpu_the_same_pixels_are_mixed(monkeypatch):
    images = torch.randn(6, 3, 16, 12)
    draws = [draw_mixing(6, 1.0, seeded(s)) for s in range(5)]
    expected = [(cutmix_drawn(images, d)[0], mixup_drawn(images, d)) for d in draws]
    monkeypatch.setattr(mixing, "_map_by_map", lambda maps: False)
    for draw, (pasted, blended) in zip(draws, expected):
        for in_place in (False, True):
            assert torch.equal(cutmix_drawn(images.clone(), draw, in_place=in_place)[0], pasted)
            assert torch.equal(mixup_drawn(images.clone(), draw, in_place), blended)
    levels = (50 * images).clamp(0, 255).to(torch.uint8)
    whole_batch = [mixup_drawn(levels, draw) for draw in draws]
    monkeypatch.undo()
    assert all(torch.equal(mixup_drawn(levels, draw), mixed) for draw, mixed in zip(draws, whole_batch))


@pytest.mark.parametrize("wrong", [lambda: draw_mixing(4, 0.0), lambda: cutout(torch.zeros(1, 3, 4, 4), 0)])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="got 0"):
        wrong()


def test_gradients_reach_both_partners_of_a_feature_map():
    maps = torch.randn(2, 1, 4, 4, requires_grad=True)
    draw = MixingDraw(0.75, (0.5, 0.5), torch.tensor([1, 0]))
    mixed, lam = cutmix_drawn(maps, draw)
    mixed[0].sum().backward()
    assert maps.grad[0].sum() == 16 * lam == 12 and maps.grad[1].sum() == 4
    maps.grad = None
    mixup_drawn(maps, draw)[0].sum().backward()
    assert torch.allclose(maps.grad[0], torch.tensor(0.75)) and math.isclose(maps.grad[1].mean(), 0.25)
