"""What weights files hold beside a network, by name: parts of a pre-training to leave out, adapters to merge first.

No backbone has tensors under these names when they are looked up: only a file's leftovers are.
"""

import re

from .tensor_checks import few

# First part of the name, as pre-training projects write it beside or inside the encoder.
_TRAINING_ROOTS = re.compile(
    r"(mask_token|mask_embed|decoder|decoder_\w+|lm_head|"  # BEiT, EVA, MAE, SimMIM
    r"cls_pt_layers|regression_head|"  # BEiT v2, data2vec
    r"proj|pred|"  # FCMAE's decoder (ConvNeXt V2) and CLIP's projection
    r"projectors?|projection_head|predictor|pred_head|prototypes|online_projector|"  # SwAV, BYOL, SimSiam, I-JEPA
    r"dino_head|ibot_head|dino_loss|ibot_patch_loss|local_cls_norm|norms|"  # DINOv2, DINOv3, EUPE
    r"queue\w*|logit_scale|logit_bias|text\w*|token_embedding|ln_final|"  # MoCo, CLIP's text tower
    r"criterion|loss|n_averaged|num_updates|decay)"
)  # training wrappers and averages

# Last part of the name: tables that are computed, statistics of profilers, counts of norms.
_TRAINING_LEAVES = re.compile(r"(mask_token|periods|bias_mask|total_ops|total_params|num_batches_tracked)")

# Any part of the name: low-rank and other adapters of the peft library.
_ADAPTERS = re.compile(r"(^|\.)(lora_\w+|loha_\w+|lokr_\w+|hada_w\w+|ia3_\w+|oft_\w+|vera_\w+|base_layer)(\.|$)")


def is_training_only(name: str) -> bool:
    """Whether a leftover entry of a file is known to serve a pre-training and not the backbone."""
    parts = name.split(".")
    return bool(_TRAINING_ROOTS.fullmatch(parts[0]) or _TRAINING_LEAVES.fullmatch(parts[-1]))


def adapter_hint(names) -> str:
    """What to do about a file that holds adapters (such as LoRA); an empty string if it holds none."""
    found = [name for name in names if _ADAPTERS.search(name)]
    if not found:
        return ""
    return (
        f"It holds {len(found)} tensors of adapters (LoRA or similar: {few(found)}): merge them into their base "
        "first (peft: model.merge_and_unload(), then save its state_dict())."
    )
