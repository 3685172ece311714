"""Plain ViTs of timm as backbones: against timm's own untouched models, at any size, from any blocks, in windows."""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.build import body_strides, build_body
from frozen_det.models.backbones.frozen_backbone import FrozenBackbone
from frozen_det.models.detectors.detector import fill_blanks

SMALL = dict(depth=3, embed_dim=48, num_heads=3)
# name, patch, side of the training images here, class and register tokens, has a final norm
FAMILIES = {
    "dinov2": ("vit_small_patch14_dinov2", 14, 56, 1, True),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", 14, 56, 5, True),
    "dinov3": ("vit_small_patch16_dinov3", 16, 64, 5, True),
    "clip": ("vit_base_patch16_clip_224", 16, 64, 1, True),
    "mae": ("vit_base_patch16_224.mae", 16, 64, 1, True),
    "eva02": ("eva02_tiny_patch14_336", 14, 56, 1, False),
    "siglip": ("vit_base_patch16_siglip_224", 16, 64, 0, True),
}
family = pytest.mark.parametrize("kind", FAMILIES)


def config(kind, **options):
    name, _, side, _, _ = FAMILIES[kind]
    return dict(type="timm", name=name, img_size=side, **SMALL, **options)


def shaken(module):
    """Weights under which every part of the model matters (DINOv2's layer scale begins at 1e-5)."""
    generator = torch.Generator().manual_seed(0)
    for name, p in module.named_parameters():
        one = p.dim() == 1 and name.endswith(("weight", "gamma"))
        p.data = one + 0.2 * torch.randn(p.shape, generator=generator)
    return module.eval()


def body_of(kind, strides=None, **options):
    body = build_body(config(kind, **options), strides or (FAMILIES[kind][1],))
    shaken(body.module)
    return body


def run(body, images):
    with torch.no_grad():
        (features,) = body.extract(body.module, images)
    return features


def untouched(kind, body, size_hw):
    """timm's own model, built for that size, with the backbone's weights; position embeddings resampled by timm."""
    name, patch, side, prefix, _ = FAMILIES[kind]
    model = timm.create_model(name, num_classes=0, img_size=size_hw, **SMALL).eval()
    state = dict(body.module.state_dict())
    if state.get("pos_embed") is not None:
        entries = 0 if model.no_embed_class else prefix
        state["pos_embed"] = resample_abs_pos_embed(
            state["pos_embed"], [s // patch for s in size_hw], [side // patch] * 2, num_prefix_tokens=entries
        )
    # MAE's and EVA's pooling leaves norms behind the map, which the backbone has not.
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all("norm" in key or "attn_pool" in key for key in missing.missing_keys)
    return model


@family
@pytest.mark.parametrize("at_own_size", [True, False])
def test_the_map_is_the_patch_tokens_of_timms_own_model(kind, at_own_size):
    name, patch, side, prefix, has_norm = FAMILIES[kind]
    size_hw = (side, side) if at_own_size else (5 * patch, 3 * patch)
    body = body_of(kind, tap_norm=has_norm)
    images = torch.randn(2, 3, *size_hw)
    with torch.no_grad():
        tokens = untouched(kind, body, size_hw).forward_features(images)
    rows, columns = (s // patch for s in size_hw)
    assert tokens.shape == (2, prefix + rows * columns, 48)
    expected = tokens[:, prefix:].transpose(1, 2).reshape(2, 48, rows, columns)
    assert torch.allclose(run(body, images), expected, atol=1e-4)
    assert body.strides == (patch,) and body.channels == (48,)


@family
def test_an_image_of_any_size_is_padded_with_the_mean_colour_to_whole_patches(kind):
    patch = FAMILIES[kind][1]
    body = body_of(kind)
    images = torch.randn(1, 3, 2 * patch + 1, 4 * patch - 3)
    features = run(body, images)
    assert features.shape == (1, 48, 3, 4)
    padded = F.pad(images, (0, 3, 0, patch - 1))
    assert torch.equal(features, run(body, padded))
    assert run(body, images[:, :, :1, :1]).shape == (1, 48, 1, 1)


def silenced(body):
    """The backbone with attention that adds nothing and without position embeddings: every patch by itself."""
    with torch.no_grad():
        for name, p in body.module.named_parameters():
            if ".attn.proj." in name or name == "pos_embed":
                p.zero_()
    return body


@pytest.mark.parametrize("kind", ["dinov2-registers", "dinov3"])
def test_class_and_register_tokens_reach_the_map_through_attention_alone(kind):
    body = body_of(kind, taps=(0, 1, 2))
    images = torch.randn(1, 3, 40, 60)
    before, quiet = run(body, images), run(silenced(copy.deepcopy(body)), images)
    for name in ("cls_token", "reg_token"):
        getattr(body.module, name).data.add_(1.0)
    assert not torch.allclose(run(body, images), before)
    assert torch.equal(run(silenced(body), images), quiet)


@pytest.mark.parametrize("kind", ["dinov2-registers", "eva02"])
def test_patches_of_14_give_stride_16_from_an_image_resized_by_14_16ths_and_the_same_weights(kind):
    raw, body = body_of(kind), body_of(kind, (16,))
    images = torch.randn(1, 3, 60, 96)
    features = run(body, images)
    assert features.shape == (1, 48, 4, 6) and body.strides == (16,)
    smaller = F.interpolate(F.pad(images, (0, 0, 0, 4)), size=(56, 84), mode="bicubic", antialias=True)
    assert torch.equal(features, run(raw, smaller))
    assert {n: v.shape for n, v in body.module.state_dict().items()} == {
        n: v.shape for n, v in raw.module.state_dict().items()
    }


def test_a_colour_without_detail_looks_the_same_at_stride_14_and_16():
    grey = torch.full((1, 3, 112, 112), 0.7)
    maps = [run(silenced(body_of("dinov2", (stride,))), grey) for stride in (14, 16)]
    assert maps[0].shape[2:] == (8, 8) and maps[1].shape[2:] == (7, 7)
    assert torch.allclose(maps[0][:, :, 3:4, 3:4].expand_as(maps[1]), maps[1], atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "strides"), [("clip", (4, 8, 16, 32)), ("clip", (8,)), ("dinov2", (8,)), ("dinov2", (14, 16))]
)
def test_strides_far_from_the_patches_are_refused_with_the_neck_that_makes_them(kind, strides):
    with pytest.raises(InputError, match="All its features have one stride.*SimpleFeaturePyramid"):
        build_body(config(kind), strides)


def test_selected_blocks_are_concatenated_or_averaged_and_blocks_after_the_last_are_pruned():
    images = torch.randn(1, 3, 32, 48)
    singles = [run(body_of("clip", taps=i), images) for i in range(3)]
    both = body_of("clip", taps=(0, -2))
    assert both.channels == (96,) and len(both.module.blocks) == 2
    assert any(key.startswith("blocks.2.") for key in both.head_keys)
    assert torch.equal(run(both, images), torch.cat(singles[:2], 1))
    assert body_of("clip").channels == (48,) and torch.equal(run(body_of("clip"), images), singles[2])
    mean = body_of("clip", taps=(0, 1, 2), tap_fusion="mean")
    assert mean.channels == (48,)
    assert torch.allclose(run(mean, images), sum(singles) / 3, atol=1e-6)


def test_the_final_norm_is_applied_to_every_selected_block_where_requested_and_kept_among_the_weights():
    body = body_of("dinov3", taps=(0, 2), tap_norm=True)
    images = torch.randn(1, 3, 32, 48)
    raw = body_of("dinov3", taps=(0, 2))
    assert {"norm.weight", "norm.bias"} == set(body.module.state_dict()) - set(raw.module.state_dict())
    raw.module.load_state_dict(body.module.state_dict(), strict=False)
    halves = run(raw, images).permute(0, 2, 3, 1).split(48, -1)
    norm = body.module.norm
    expected = torch.cat([F.layer_norm(h, (48,), norm.weight, norm.bias, norm.eps) for h in halves], -1)
    assert torch.allclose(run(body, images).permute(0, 2, 3, 1), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("clip", dict(taps=(0, 3)), "block indices from -3 to 2"),
        ("clip", dict(taps=()), "has 3 blocks"),
        ("clip", dict(taps=(2, 0)), "ascending"),
        ("clip", dict(taps=(2, -1)), "each once"),
        ("clip", dict(tap_fusion="sum"), "'concat' or 'mean'"),
        ("clip", dict(tap_norm="yes"), "True or False"),
        ("eva02", dict(tap_norm=True), "has no final norm"),
        ("clip", dict(window=64), "dict"),
        ("clip", dict(window=dict(size=60)), "multiples of the stride 16"),
        ("clip", dict(window=dict(size=64, overlap=64)), "below the size"),
        ("clip", dict(window=dict(size=64, overlp=16)), "did you mean 'overlap'"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_their_key(kind, options, said):
    with pytest.raises(InputError, match=said):
        build_body(config(kind, **options), (FAMILIES[kind][1],))


def test_options_of_plain_vits_are_refused_for_other_models():
    for cfg in (
        dict(type="timm", name="resnet18", taps=(1,)),
        dict(type="timm", name="swin_tiny_patch4_window7_224", window=dict(size=64)),
    ):
        with pytest.raises(InputError, match="for plain vision transformers only"):
            build_body(cfg, (16,))
    assert body_strides(config("clip", taps=(0, 1))) == (16,)


@pytest.mark.parametrize(("kind", "overlap"), [("dinov3", 0), ("dinov2-registers", 32), ("mae", 16)])
def test_seams_of_windows_are_exact_where_features_are_local(kind, overlap):
    windowed = silenced(body_of(kind, (16,), window=dict(size=64, overlap=overlap), taps=(0, 2)))
    plain = silenced(body_of(kind, (16,), taps=(0, 2)))
    images = torch.randn(2, 3, 150, 93)
    features = run(windowed, images)
    assert features.shape == (2, 96, 10, 6)
    assert torch.allclose(features, run(plain, images), atol=1e-4)


def test_a_window_runs_as_an_image_of_its_own_and_gives_the_part_nearer_to_its_middle():
    windowed = body_of("clip", window=dict(size=64, overlap=32))
    plain = body_of("clip")
    images = torch.randn(1, 3, 64, 96)  # 4 x 6 cells: windows over columns 0-3 and 2-5, cut at 3
    left, right = run(plain, images[..., :64]), run(plain, images[..., 32:])
    assert torch.allclose(run(windowed, images), torch.cat([left[..., :3], right[..., 1:]], -1), atol=1e-5)


def test_an_image_that_fits_one_window_runs_as_without_windows():
    images = torch.randn(1, 3, 60, 40)
    assert torch.equal(run(body_of("clip", window=dict(size=(64, 48))), images), run(body_of("clip"), images))


def test_attention_never_sees_more_than_one_window():
    seen = []
    body = body_of("dinov3", window=dict(size=(32, 64), overlap=16))
    body.module.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    assert run(body, torch.randn(1, 3, 64, 160)).shape == (1, 48, 4, 10)
    assert seen == [5 + 2 * 4] * (3 * 3)


@pytest.mark.parametrize(
    ("kind", "freeze"),
    [("dinov2-registers", True), ("dinov2-registers", 1), ("dinov3", 1), ("eva02", ["blocks.0", "patch_embed"])],
)
def test_a_backbone_freezes_copies_and_names_it_as_any_other(kind, freeze):
    cfg = config(kind, taps=(0, 1), window=dict(size=128))
    backbone = FrozenBackbone(cfg, "random", (16,), freeze).train()
    names = set(timm.create_model(cfg["name"], num_classes=0, img_size=56, **SMALL).state_dict())
    assert set(backbone.body.state_dict()) <= names
    trained = {n for n, p in backbone.body.named_parameters() if p.requires_grad}
    if freeze is True or freeze == 1:  # everything that the one map depends on
        assert not trained
    else:
        assert {n.split(".")[0] for n in trained} >= {"blocks"} and not any("blocks.0." in n for n in trained)
    images = torch.randn(1, 3, 70, 140)
    twin = copy.deepcopy(backbone)
    (features,) = backbone(images)
    assert features.shape == (1, 96, 5, 9) and backbone.channels == (96,)
    assert torch.equal(features, twin(images)[0])
    with torch.no_grad():
        for p in twin.body.parameters():
            p.add_(1.0)
    assert torch.equal(features, backbone(images)[0])


def test_low_rank_adapters_train_with_selected_blocks_and_windows():
    cfg = config("dinov3", taps=(0, 2), window=dict(size=64))
    backbone = FrozenBackbone(cfg, "random", (16,), adapters=dict(type="lora")).train()
    backbone(torch.randn(1, 3, 96, 64))[0].square().sum().backward()
    grads = {n: p.grad for n, p in backbone.named_parameters() if p.requires_grad}
    assert grads and all(n.startswith("adapters.") for n in grads)
    assert any(g is not None and g.abs().sum() > 0 for g in grads.values())


def detector(kind, strides, neck, **options):
    return dict(
        type="FasterRCNN",
        backbone=dict(
            type="frozen_det.FrozenBackbone", body=config(kind, **options), weights="random", strides=strides
        ),
        neck=neck,
        rpn_head=dict(type="RPNHead", anchor_generator=dict(type="AnchorGenerator")),
        roi_head=dict(bbox_roi_extractor=dict(type="SingleRoIExtractor")),
    )


def test_a_detector_fills_the_pyramid_in_from_the_backbone():
    pyramid = dict(type="frozen_det.SimpleFeaturePyramid", out_channels=32)
    cfg = fill_blanks(detector("dinov2-registers", (16,), pyramid, taps=(0, 1, 2)))
    assert cfg["neck"]["in_channels"] == [144]
    assert cfg["rpn_head"]["anchor_generator"]["strides"] == [4, 8, 16, 32, 64]
    assert cfg["roi_head"]["bbox_roi_extractor"]["featmap_strides"] == [4, 8, 16, 32, 64]
    assert cfg["roi_head"]["bbox_roi_extractor"]["finest_scale"] == 56


def test_the_raw_stride_of_14_is_exact_where_cells_are_whole_pixels_and_refused_where_not():
    convs = dict(type="frozen_det.ConvNeck", out_channels=32, num_outs=4)
    cfg = fill_blanks(detector("dinov2", (14,), convs))
    assert cfg["rpn_head"]["anchor_generator"]["strides"] == [14, 28, 56, 112]
    assert cfg["data_preprocessor"]["pad_size_divisor"] == 14
    with pytest.raises(InputError, match=r"strides=\(16,\)"):
        fill_blanks(detector("dinov2", (14,), dict(type="frozen_det.SimpleFeaturePyramid")))


def test_weights_of_another_grid_are_refused_with_the_size_to_set_and_load_unchanged_with_it(tmp_path):
    other = shaken(timm.create_model("vit_base_patch16_clip_224", num_classes=0, img_size=96, **SMALL))
    path = tmp_path / "clip96.pth"
    torch.save(other.state_dict(), path)
    with pytest.raises(InputError, match=r"6 x 6 patches, the model has 4 x 4. Set img_size=96"):
        FrozenBackbone(config("clip"), str(path), (16,)).init_weights()
    backbone = FrozenBackbone(dict(config("clip"), img_size=96), str(path), (16,))
    backbone.init_weights()
    assert torch.equal(backbone.body.pos_embed, other.pos_embed)
    assert backbone(torch.randn(1, 3, 64, 64))[0].shape == (1, 48, 4, 4)


def test_a_released_file_of_the_same_grid_passes_though_its_class_token_has_a_position(tmp_path):
    body = body_of("dinov2-registers")
    state = dict(body.module.state_dict())
    state["register_tokens"] = state.pop("reg_token")
    state["mask_token"] = torch.zeros(1, 48)
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 48), state["pos_embed"]], 1)
    state["norm.weight"], state["norm.bias"] = torch.ones(48), torch.zeros(48)
    torch.save(state, tmp_path / "dinov2.pth")
    backbone = FrozenBackbone(config("dinov2-registers"), str(tmp_path / "dinov2.pth"), (16,))
    backbone.init_weights()
    assert torch.equal(backbone.body.pos_embed, body.module.pos_embed)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("convnext_tiny.dinov3_lvd1689m", dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))),
        ("swin_tiny_patch4_window7_224", dict(depths=(2, 2, 2, 1), embed_dim=12, num_heads=(1, 1, 2, 2))),
        ("swinv2_tiny_window8_256", dict(depths=(2, 2, 2, 1), embed_dim=12, num_heads=(1, 1, 2, 2))),
    ],
)
def test_stages_of_convnext_and_swin_are_channels_first_and_timms_at_a_size_that_windows_do_not_divide(name, options):
    backbone = FrozenBackbone(dict(type="timm", name=name, **options), "random")
    size_hw = (288, 352)  # maps of 72 x 88 down to 9 x 11: windows of 7 divide no side, windows of 8 few
    images = torch.randn(1, 3, *size_hw)
    features = backbone(images)
    widths = options.get("dims", (12, 24, 48, 96))
    assert [tuple(f.shape) for f in features] == [
        (1, c, size_hw[0] // s, size_hw[1] // s) for c, s in zip(widths, (4, 8, 16, 32))
    ]
    at_size = {} if "convnext" in name else dict(img_size=size_hw)
    own = timm.create_model(name, num_classes=0, **options, **at_size).eval()
    own.load_state_dict(backbone.body.state_dict(), strict=False)
    with torch.no_grad():
        expected = own.forward_intermediates(images, intermediates_only=True)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(features, expected[-4:], strict=True))
