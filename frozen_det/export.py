"""Backbones out: one file with the weights and their card, written whole, read back and compared before it counts.

Refuses to write a backbone that nothing was loaded into, and keeps no file that does not give back the same bits.
"""

import copy
import dataclasses
from pathlib import Path

from .atomic_write import replacing
from .checkpoints import load_strictly, read, state_dict_of
from .errors import InputError
from .fingerprint import Fingerprint, fingerprint
from .weights_card import KEY, WeightsCard, first_known

WEIGHT_SUFFIXES = (".safetensors", ".pth")


def export_backbone(backbone, path, card: WeightsCard | None = None) -> WeightsCard:
    """Write the weights of a backbone under the library's own key names, with their card.

    Args:
        backbone: a :class:`frozen_det.models.FrozenBackbone` with weights in it.
        path: `.safetensors`, or `.pth` for readers that know nothing else; whole or absent.
        card: what is known about the weights beyond the backbone (recipe, mean and std, parent, licence). Fields left
            None are filled from the body, its library and the weights it started from.

    Returns:
        The card in the file; `digest` is that of the tensors in it.

    Raises:
        InputError: another suffix, or no weights in the backbone.
    """
    path = Path(path).expanduser()
    if path.suffix not in WEIGHT_SUFFIXES:
        raise InputError(f"expected an output file that ends in {' or '.join(WEIGHT_SUFFIXES)}, got {path}.")
    tensors = backbone_tensors(backbone)
    wanted = fingerprint(tensors)
    card = dataclasses.replace(first_known(card, backbone.describe_weights()), digest=wanted.digest)
    with replacing(path) as partial:
        _write(partial, tensors, card)
        _compare(partial, wanted)
        _compare_through_the_door(partial, backbone)
    return card


def backbone_tensors(backbone) -> dict:
    """Persistent entries of the body's state dict: name -> CPU tensor that shares memory with nothing.

    Raises:
        InputError: nothing was loaded into the backbone, or its adapters cannot be part of the body.
    """
    if backbone.source is None:
        raise InputError(f"expected a backbone with weights to export, but nothing was loaded into "
                         f"{backbone.architecture}. Call init_weights() or load a checkpoint first.")
    if backbone.adapters is not None:
        raise InputError("the backbone has adapters, which a plain weights file cannot hold. Export a checkpoint that "
                         "was trained without them.")
    return {name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in backbone.body.state_dict().items()}


def _write(path: Path, tensors: dict, card: WeightsCard) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        # "format" is what transformers and timm look for.
        save_file(tensors, str(path), metadata={"format": "pt", KEY: card.to_json()})
    else:
        import torch

        torch.save({"state_dict": tensors, "meta": {KEY: card.to_json()}}, path)


def _compare(path: Path, wanted: Fingerprint) -> None:
    """Read the file back and compare bit for bit."""
    got = fingerprint(state_dict_of(read(path), str(path)))
    first = wanted.first_difference(got)
    if first is not None:
        raise InputError(f"the file read back differs from what was written, first in {first}; it was not kept. "
                         "Check the disk, and write to another one.")


def _compare_through_the_door(path: Path, backbone) -> None:
    """Fill a blank copy of the body from the file, strictly, and compare it with the original."""
    import torch

    blank = copy.deepcopy(backbone.body)
    with torch.no_grad():
        for value in blank.state_dict().values():
            value.zero_()
    load_strictly(blank, state_dict_of(read(path), str(path)), str(path), backbone._built.head_keys)
    first = fingerprint(backbone.body.state_dict()).first_difference(fingerprint(blank.state_dict()))
    assert first is None, f"{first} came back changed through the door"
