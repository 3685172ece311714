"""Names of a ResNet-RS in a checkpoint of tensorflow/models, as timm's: layers are counted, blocks keep attributes.

A checkpoint of TF-Vision names the layers of its backbone by their order: `backbone/layer_with_weights-8/_conv1/...`.
TensorFlow reads the file; this makes one of it that loads here, with `frozen_det.ResNetRS` as the backbone:

    import tensorflow as tf, torch
    from safetensors.torch import save_file
    read = tf.train.load_checkpoint("resnet-rs-101-i192/ckpt")
    names = [n for n in read.get_variable_to_shape_map() if n.startswith("backbone/") and "OPTIMIZER_SLOT" not in n]
    save_file({n: torch.from_numpy(read.get_tensor(n).copy()) for n in names}, "resnet-rs-101-i192.safetensors")
"""

import re
from collections.abc import Mapping

from torch import Tensor

# Layers before the first block, in order: three convolutions, and the one in place of the max-pool, each with its norm.
_STEM = ("conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1", "maxpool.0", "maxpool.1")
_PARTS = {
    "_conv1": "conv1",
    "_norm1": "bn1",
    "_conv2": "conv2",
    "_norm2": "bn2",
    "_conv3": "conv3",
    "_norm3": "bn3",
    "_shortcut1": "downsample.1",
    "_norm0": "downsample.2",
    "_squeeze_excitation/_se_reduce": "se.fc1",
    "_squeeze_excitation/_se_expand": "se.fc2",
}
_LEAVES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_NAME = re.compile(r"(?:.*/)?layer_with_weights-(\d+)/(?:([\w/]+?)/)?(\w+)(?:/\.ATTRIBUTES/VARIABLE_VALUE)?")


def timm_names(state: Mapping[str, Tensor], blocks_per_stage: tuple[int, ...]) -> dict[str, Tensor] | None:
    """The tensors under timm's names, kernels as PyTorch lays them out; None unless all names are of this kind.

    Args:
        state: name -> tensor; kernels (height, width, in, out).
        blocks_per_stage: of the backbone, e.g. (3, 4, 23, 3): blocks are counted through in the file.
    """
    places = [f"layer{stage + 1}.{block}" for stage, count in enumerate(blocks_per_stage) for block in range(count)]
    renamed = {}
    for name, value in state.items():
        found = _NAME.fullmatch(name)
        if found is None or found[3] not in _LEAVES:
            return None
        index, part = int(found[1]), found[2]
        if index < len(_STEM) and part is None:
            module = _STEM[index]
        elif part in _PARTS and 0 <= index - len(_STEM) < len(places):
            module = f"{places[index - len(_STEM)]}.{_PARTS[part]}"
        else:
            return None
        renamed[f"{module}.{_LEAVES[found[3]]}"] = value.permute(3, 2, 0, 1).contiguous() if value.dim() == 4 else value
    return renamed or None


def blocks_of(names: Mapping) -> tuple[int, ...]:
    """Blocks in each stage of a backbone, from its state dict's names in timm's layout."""
    stages: dict[int, int] = {}
    for name in names:
        found = re.match(r"layer(\d+)\.(\d+)\.", name)
        if found:
            stages[int(found[1])] = max(stages.get(int(found[1]), 0), int(found[2]) + 1)
    return tuple(stages[stage] for stage in sorted(stages))
