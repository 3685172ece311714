"""One file with a backbone's weights and their card, written whole, read back and compared before it counts.

Refuses to write a backbone that nothing was loaded into, and keeps no file that does not give back the same bits.
"""

import copy
import dataclasses
from pathlib import Path

from ..errors import InputError
from ..models.backbones.bn_folding import fold_into_weights
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..weights.atomic_write import replacing
from ..weights.card import KEY, WeightsCard, first_known
from ..weights.digest import Fingerprint, fingerprint
from ..weights.key_maps import LAYOUTS, rename
from ..weights.loading import load_strictly, read, state_dict_of
from .library_check import compare_in_library

SUFFIXES = (".safetensors", ".pth")


def export_backbone(
    backbone: FrozenBackbone,
    path: str | Path,
    card: WeightsCard | None = None,
    layout: str = "plain",
    fold_norms: bool = False,
) -> WeightsCard:
    """Write the weights of a backbone with their card.

    Args:
        backbone: a :class:`frozen_det.FrozenBackbone` with weights in it. Adapters are merged into a copy.
        path: `.safetensors`, or `.pth` for readers that know nothing else (mmdet's own); whole or absent.
        card: what is known about the weights beyond the backbone (recipe, mean and std, parent, licence). Fields left
            None are filled from the backbone, its library and the weights it started from.
        layout: whose key names: ``plain`` (the backbone's own library), or ``timm``, ``torchvision``, ``mmdet``,
            ``mmpretrain``.
        fold_norms: fold BatchNorms into the convolutions before them; the norms stay as identities plus a constant,
            so that every reader of the layout takes the file.

    Returns:
        The card in the file; `digest` is that of the tensors in it.

    Raises:
        InputError: another suffix, no weights in the backbone, adapters that cannot be merged, an architecture whose
            names in the layout are not known, or features that differ in the other library.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise InputError(f"expected an output file that ends in {' or '.join(SUFFIXES)}, got {path}.")
    plain = plain_copy(backbone, fold_norms)
    state, names = in_layout(plain, layout)
    tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}
    wanted = fingerprint(tensors)
    card = dataclasses.replace(first_known(card, backbone.describe_weights()), digest=wanted.digest)
    with replacing(path) as partial:
        _write(partial, tensors, card)
        _compare(partial, wanted)
        _compare_loaded(partial, plain)
        if layout not in ("plain", plain.architecture.split("/")[0]):
            compare_in_library(plain, tensors, names, layout)
    return card


def require_weights(backbone) -> None:
    """Raise unless something was loaded into the backbone.

    Raises:
        InputError: nothing was.
    """
    if backbone.source is None:
        raise InputError(
            f"expected a backbone with weights to export, but nothing was loaded into "
            f"{backbone.architecture}. Call init_weights() or load a checkpoint first."
        )


def plain_copy(backbone, fold_norms: bool):
    """The backbone itself, or a copy with its adapters merged and its norms folded into the weights.

    Raises:
        InputError: no weights; adapters that cannot be merged; nothing to fold.
    """
    require_weights(backbone)
    merging = backbone.adapters is not None and not backbone.adapters.merged
    if not merging and not fold_norms:
        return backbone
    plain = copy.deepcopy(backbone).eval()
    if merging:
        plain.merge()
    if fold_norms:
        fold_into_weights(plain._built)
    return plain


def in_layout(backbone, layout: str) -> tuple[dict, dict[str, str]]:
    """The persistent entries of a backbone under the key names of a library, and own name -> that name.

    Raises:
        InputError: names that are not known.
    """
    state, library = backbone.body.state_dict(), backbone.architecture.split("/")[0]
    if layout in ("plain", library):
        return state, {name: name for name in state}
    if layout not in LAYOUTS:
        raise InputError(f"expected plain, {', '.join(LAYOUTS)} as --layout, got {layout!r}.")
    return rename(state, library, layout, backbone.architecture)


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
        raise InputError(
            f"the file read back differs from what was written, first in {first}; it was not kept. "
            "Check the disk, and write to another one."
        )


def _compare_loaded(path: Path, backbone) -> None:
    """Fill a blank copy of the backbone from the file, strictly, and compare it with the original."""
    import torch

    blank = copy.deepcopy(backbone.body)
    with torch.no_grad():
        for _, value in [*blank.named_parameters(), *blank.named_buffers()]:
            if value.is_floating_point():
                value.zero_()
    load_strictly(blank, state_dict_of(read(path), str(path)), str(path), backbone._built.head_keys)
    first = fingerprint(backbone.body.state_dict()).first_difference(fingerprint(blank.state_dict()))
    if first is not None:
        raise InputError(
            f"{first} comes back changed when the file is loaded into {backbone.architecture} again; the "
            "file was not kept. Export with --layout plain."
        )
