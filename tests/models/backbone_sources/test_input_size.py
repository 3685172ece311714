"""Backbones of fixed size run at any: padded to a multiple, or in windows of the one size, cell by cell in place."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.build import body_strides, build_body
from frozen_det.models.backbone_sources.input_size import AnySize, SizeRule, any_size, measure


def shapes_of(strides, rounding=lambda side, stride: -(-side // stride), channels=8):
    return lambda size_hw: [(1, channels, *(rounding(side, stride) for side in size_hw)) for stride in strides]


def refusing(run, accepts):
    def refusing_run(size_hw):
        if not accepts(size_hw):
            raise AssertionError(f"not at {size_hw}")
        return run(size_hw)

    return refusing_run


def test_a_network_of_any_size_gets_its_strides_and_no_wrapper():
    measured = measure(shapes_of([4, 8, 16, 32, 64]), (224, 224), "it")
    assert measured.strides == (4, 8, 16, 32, 64) and measured.rule == SizeRule()
    extract = object()
    assert any_size(extract, (4, 8), measured.rule) is extract


@pytest.mark.parametrize("stride", [7, 14, 12])
def test_a_stride_that_divides_no_probe_is_found_by_growth(stride):
    measured = measure(shapes_of([stride], lambda side, s: side // s), None, "it")
    assert measured.strides == (stride,) and measured.rule.is_free


def test_convolutions_without_padding_keep_their_strides_and_the_lost_cells_are_filled():
    lost = {4: 4, 8: 3, 16: 2, 32: 2}
    measured = measure(shapes_of(lost, lambda side, stride: side // stride - lost[stride]), None, "it")
    assert measured.strides == (4, 8, 16, 32) and measured.rule == SizeRule(fill=True)


@pytest.mark.parametrize("multiple", [64, 224, 256])
def test_the_smallest_multiple_that_serves_is_taken(multiple):
    run = refusing(shapes_of([8, 16]), lambda size_hw: all(side % multiple == 0 for side in size_hw))
    assert measure(run, None, "it").rule == SizeRule(multiple=multiple)


def test_a_network_of_one_size_runs_in_windows_of_it():
    measured = measure(refusing(shapes_of([16]), lambda size_hw: size_hw == (240, 240)), (240, 240), "it")
    assert measured.strides == (16,) and measured.rule == SizeRule(window_hw=(240, 240))


def test_a_map_that_does_not_grow_with_the_image_is_no_map_of_it():
    """CrossViT resizes what it is given; its cells are of the image only at its own size, where they divide it."""
    measured = measure(lambda _: [(1, 8, 20, 20), (1, 16, 14, 14)], (240, 240), "it")
    assert measured.strides == (12, None) and measured.rule == SizeRule(window_hw=(240, 240))


def test_a_stride_that_would_begin_windows_inside_cells_is_left_out():
    """LeViT's last feature has 4 cells for 224 px: 3.5 of stride 64, rounded up, not stride 56."""
    run = refusing(lambda _: [(1, 8, 14, 14), (1, 8, 7, 7), (1, 8, 4, 4)], lambda size_hw: size_hw == (224, 224))
    assert measure(run, (224, 224), "it").strides == (16, 32, None)


def test_vectors_are_no_maps():
    assert measure(lambda _: [(1, 8), (1, 197, 8)], (224, 224), "it").strides == (None, None)


def test_a_network_that_runs_at_no_size_is_refused_with_its_error():
    with pytest.raises(InputError, match=r"it could not be measured at \(256, 320\).*not at \(256, 320\).*img_size"):
        measure(refusing(shapes_of([8]), lambda _: False), (224, 224), "it")


class Pools(nn.Module):
    """A backbone whose cells are means of their own pixels, at sizes that `accepts` allows."""

    def __init__(self, accepts):
        super().__init__()
        self.accepts = accepts

    def forward(self, images):
        assert self.accepts(tuple(images.shape[-2:]))
        return [F.avg_pool2d(images, 4), F.avg_pool2d(images, 8)]


def pooled(images):
    """The same cells without any rule; zeros stand for pixels behind the border."""
    bottom, right = (-side % 8 for side in images.shape[-2:])
    padded = F.pad(images, (0, right, 0, bottom))
    return [F.avg_pool2d(padded, s)[:, :, : -(-images.shape[2] // s), : -(-images.shape[3] // s)] for s in (4, 8)]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([SizeRule(multiple=32), SizeRule(window_hw=(32, 24)), SizeRule(window_hw=(16, 16))]),
)
def test_every_cell_comes_from_its_own_pixels_whatever_the_rule(height, width, rule):
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    body = Pools(
        lambda size_hw: (
            size_hw == rule.window_hw if rule.window_hw else all(side % rule.multiple == 0 for side in size_hw)
        )
    )
    features = AnySize(lambda module, x: module(x), (4, 8), rule)(body, images)
    for feature, expected in zip(features, pooled(images)):
        assert feature.shape == expected.shape and torch.allclose(feature, expected, atol=1e-6)


def test_lost_cells_are_filled_on_both_sides_so_that_the_others_stay_over_their_pixels():
    images = torch.zeros(1, 1, 32, 48)
    images[..., 17, 25] = 1

    def without_border(module, x):
        return [F.avg_pool2d(x, 4)[:, :, 1:-2, 1:-1]]

    (feature,) = AnySize(without_border, (4,), SizeRule(fill=True))(None, images)
    assert tuple(feature.shape) == (1, 1, 8, 12)
    assert [tuple(cell) for cell in feature[0, 0].nonzero().tolist()] == [(4, 6)]


@pytest.mark.parametrize(
    "name, strides, rule",
    [
        ("halonet_h1", (2, 4, 8, 16, 32), SizeRule(multiple=256)),
        ("inception_v3", (2, 4, 8, 16, 32), SizeRule(fill=True)),
        ("levit_128s", (16, 32), SizeRule(window_hw=(224, 224))),
        ("efficientformerv2_s0", (4, 8, 16, 32), SizeRule(window_hw=(224, 224))),
    ],
)
def test_families_of_timm_that_refuse_sizes_run_at_one_they_refuse(name, strides, rule):
    cfg = dict(type="timm", name=name)
    assert body_strides(cfg) == strides
    body = build_body(cfg, strides[-2:])
    assert body.extract.rule == rule
    body.module.eval()
    with torch.no_grad():
        features = body.extract(body.module, torch.randn(1, 3, 96, 256))
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, 96 // stride, 256 // stride) for channels, stride in zip(body.channels, body.strides)
    ]


def test_a_vision_transformer_of_torchvision_gives_its_tokens_and_not_its_patch_embedding():
    from frozen_det.models.backbone_sources import torchvision_models as torchvision_bodies

    _, nodes, measured = torchvision_bodies._stages("vit_b_16", {})
    assert [node for node, stride in zip(nodes, measured.strides) if stride] == [
        ("conv_proj", "NCHW"),
        ("encoder", "NLC"),
    ]
    assert measured.rule == SizeRule(window_hw=(224, 224))
    tokens = torch.arange(1 + 2 * 3).float().reshape(1, 7, 1)
    cells = torchvision_bodies._channels_first(tokens, "NLC", (32, 48))
    assert cells.tolist() == [[[[1, 2, 3], [4, 5, 6]]]]


def test_a_model_with_tables_of_positions_is_measured_with_values():
    """MViTv2 reads its tables behind their end at larger sizes; on meta tensors nothing stops it."""
    import timm

    from frozen_det.models.backbone_sources import timm_features as timm_bodies

    for name, has_tables in (("mvitv2_tiny", True), ("swin_tiny_patch4_window7_224", False)):
        with torch.device("meta"):
            full = timm.create_model(name)
        assert timm_bodies._has_tables_of_size(full, name, {}, (224, 224)) is has_tables, name


def test_a_network_that_reads_values_raises_on_meta_tensors_and_is_measured_with_values(monkeypatch):
    from frozen_det.models.backbone_sources import timm_features as timm_bodies

    class Reads(nn.Module):
        pretrained_cfg = dict(input_size=(3, 64, 64))

        def forward_intermediates(self, images, **_):
            assert images.mean().item() == 0
            return [F.avg_pool2d(images, 8)]

    monkeypatch.setattr("timm.create_model", lambda *_, **__: Reads())
    measured = timm_bodies._measured(Reads(), "meta", "it", "it", {})
    assert measured.strides == (8,) and measured.rule.is_free


@pytest.mark.parametrize(
    "name, strides, rule",
    [
        ("squeezenet1_1", (2, 4, 8, 16), SizeRule(fill=True)),
        ("maxvit_t", (2, 4, 8, 16, 32), SizeRule(window_hw=(224, 224))),
    ],
)
def test_torchvision_families_with_a_map_of_logits_or_of_one_size_are_measured_for_what_they_are(name, strides, rule):
    from frozen_det.models.backbone_sources import torchvision_models as torchvision_bodies

    _, _, measured = torchvision_bodies._stages(name, {})
    assert tuple(sorted({stride for stride in measured.strides if stride})) == strides
    assert measured.rule == rule and 1000 not in measured.channels


def test_a_network_is_measured_once_for_equal_options_and_again_for_others():
    from frozen_det.models.backbone_sources.input_size import remembered

    runs = []
    for key in (
        (Pools, dict(a=(1, 2))),
        (Pools, dict(a=[1, 2])),
        (Pools, dict(a=[1, 3])),
        (nn.Linear, dict(a=[1, 2])),
        (Pools, dict(a=nn.Linear)),
        (Pools, dict(a=nn.Linear)),
    ):
        remembered(key, lambda key=key: runs.append(key))
    assert len(runs) == 5  # of the two classes nobody knows whether they are equal


def test_a_network_that_was_measured_before_draws_the_same_weights():
    from frozen_det.models.backbone_sources.build import build_body

    swin = dict(type="mmdet.SwinTransformer", embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(build_body(swin, (4, 8)).module.patch_embed.projection.weight)
    assert torch.equal(*drawn)
