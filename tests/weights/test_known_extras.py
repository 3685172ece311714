"""Parts of a pre-training in a file are left out and counted; adapters are refused with the remedy."""

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.weights.loading import load_strictly
from tests.small_nets import Net, assert_equal, state_of

EXTRAS = [
    "mask_token",
    "decoder_blocks.0.attn.qkv.weight",
    "decoder.0.weight",
    "decoder_pos_embed",
    "lm_head.weight",
    "dino_head.mlp.0.weight",
    "ibot_head.last_layer.weight_v",
    "projector.0.weight",
    "predictor.fc1.bias",
    "queue",
    "queue_ptr",
    "logit_scale",
    "text.transformer.0.weight",
    "token_embedding.weight",
    "rope_embed.periods",
    "stages.0.attn.qkv.bias_mask",
    "local_cls_norm.weight",
    "prototypes.weight",
    "stages.0.total_ops",
    "total_params",
    "n_averaged",
]


@pytest.mark.parametrize("name", EXTRAS)
def test_what_served_a_pre_training_is_left_out_and_counted(name):
    state = state_of(Net())
    target = Net()
    report = load_strictly(target, {**state, name: torch.zeros(3)}, "file")
    assert_equal(target, state)
    assert report.unused == (name,) and f"1 not needed by the backbone: {name}" in str(report)


@pytest.mark.parametrize(
    "name", ["stages.1.0.weight", "neck.weight", "stage.mask_tokens.weight", "blocks.0.decoder.weight"]
)
def test_any_other_leftover_is_refused(name):
    with pytest.raises(InputError, match=f"1 unexpected.*{name}"):
        load_strictly(Net(), {**state_of(Net()), name: torch.zeros(3)}, "file")


def test_missing_tensors_are_not_excused_by_a_pre_trainings_extras():
    state = state_of(Net())
    del state["stem.weight"]
    with pytest.raises(InputError, match=r"1 of 9 tensors missing.*stem\.weight"):
        load_strictly(Net(), {**state, "mask_token": torch.zeros(3)}, "file")


@pytest.mark.parametrize(
    "names",
    [
        ["base_model.model.stages.0.0.lora_A.weight", "base_model.model.stages.0.0.lora_B.weight"],
        ["stages.0.0.lora_A.default.weight"],
        ["stages.0.0.lora_magnitude_vector"],
        ["blocks.0.ia3_l"],
        ["stages.0.0.hada_w1_a"],
        ["blocks.0.attn.lokr_w1"],
    ],
)
@pytest.mark.parametrize("with_body", [True, False])
def test_adapters_are_refused_with_the_remedy(names, with_body):
    state = {**(state_of(Net()) if with_body else {}), **{name: torch.ones(4, 2) for name in names}}
    with pytest.raises(InputError, match=r"tensors of adapters .*merge_and_unload"):
        load_strictly(Net(), state, "file")


def test_a_network_wrapped_for_adapters_is_refused_with_the_remedy():
    state = {name.replace(".0.0.", ".0.0.base_layer."): value for name, value in state_of(Net()).items()}
    with pytest.raises(InputError, match="merge_and_unload"):
        load_strictly(Net(), state, "file")


def dinov2(body, registers: bool) -> dict:
    """The backbone's own tensors under the names of the official DINOv2 files, with their mask token."""
    state = state_of(body)
    if registers:
        position = state["pos_embed"]
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([torch.ones_like(position[:, :1]), position], 1)
        state["cls_token"] = state["cls_token"] - 1
    return {**state, "mask_token": torch.zeros(1, state["cls_token"].shape[-1])}


@pytest.mark.parametrize("registers", [False, True])
def test_official_dinov2_files_come_in_whole_and_their_mask_token_is_counted(tmp_path, registers):
    pytest.importorskip("timm")
    from frozen_det.models.backbone_sources.build import build_body
    from frozen_det.models.backbone_sources.weights import load_weights

    cfg = dict(
        type="timm",
        name=f"vit_small_patch14_{'reg4_' if registers else ''}dinov2",
        img_size=28,
        depth=2,
        embed_dim=24,
        num_heads=2,
    )
    body = build_body(cfg, (14,))
    torch.nn.init.normal_(body.module.cls_token)
    if registers:
        torch.nn.init.normal_(body.module.reg_token)
    wanted = state_of(body.module)
    torch.save(dinov2(body.module, registers), tmp_path / "dinov2.pth")
    target = build_body(cfg, (14,))
    report = load_weights(target, cfg, str(tmp_path / "dinov2.pth"))
    assert all(torch.allclose(value, wanted[name], atol=1e-6) for name, value in target.module.state_dict().items())
    assert report.unused == ("mask_token",)
