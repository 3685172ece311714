"""Weights that cannot be right are refused, one line each, before any of them is loaded.

Two questions: can every tensor be read as plain numbers at all (:func:`refuse_unreadable`), and can the numbers be
trained weights (:func:`refuse_impossible`)? Biases, scales and running means of zero are ordinary; a whole convolution
of zeros, a negative variance, NaN or infinity are not.
"""

from collections.abc import Iterable, Mapping

from ..errors import InputError

_SHOWN = 3


def refuse_unreadable(tensors: Mapping, where: str) -> None:
    """Refuse tensors that are not plain dense floating-point, integer or bool numbers.

    Args:
        tensors: name -> tensor.
        where: the file or library, for messages.

    Raises:
        InputError: naming the kind, the first tensors of it and what to do.
    """
    found: dict[str, list[str]] = {}
    for name, value in tensors.items():
        kind = _unreadable(value)
        if kind is not None:
            found.setdefault(kind, []).append(name)
    if found:
        kind, names = next(iter(found.items()))
        raise InputError(
            f"expected plain numbers in {where}, got {len(names)} {kind} of {len(tensors)} tensors: "
            f"{few(names)}. Nothing was loaded. {_REMEDIES[kind]}"
        )


_REMEDIES = {
    "meta": "They hold shapes and no values: save them after the model was filled.",
    "quantised": "Give the file the quantised one was made from; a frozen backbone runs on float weights.",
    "nested": "Save plain tensors: tensor.to_padded_tensor(0), or one tensor for each part.",
    "sparse": "Save them dense: {name: tensor.to_dense() ...}.",
    "complex": "No backbone here has complex weights: give the weights of this architecture.",
    "8-bit or smaller float": "Without their scales they are no weights: give the file in float32, bfloat16 or "
    "float16, or multiply by the scales first.",
}


def _unreadable(value) -> str | None:
    import torch

    if value.is_meta:
        return "meta"
    if value.is_quantized:
        return "quantised"
    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return "sparse"
    if value.is_complex():
        return "complex"
    if value.is_floating_point() and value.element_size() == 1:
        return "8-bit or smaller float"
    return None


def refuse_impossible(tensors: Mapping, wanted: Mapping, where: str, body: bool = True) -> None:
    """Refuse numbers that no training leaves behind.

    Args:
        tensors: name -> tensor, readable and of the shapes of `wanted`.
        wanted: name -> the module's own tensor, whose kind of number (float or integer) counts.
        where: the file or library, for messages.
        body: whether these are tensors of a pretrained backbone, in which no convolution or linear layer may be all
            zero. Heads and adapters start with zeros on purpose.

    Raises:
        InputError: with the number of such tensors, the first names and what to do.
    """
    names = [name for name in wanted if name in tensors and not name.endswith("num_batches_tracked")]
    floats = [name for name in names if wanted[name].is_floating_point()]

    def refuse(bad: Iterable[str], what: str, remedy: str) -> None:
        bad = list(bad)
        if bad:
            raise InputError(
                f"expected trained weights in {where}, got {what} in {len(bad)} of {len(names)} tensors: "
                f"{few(bad)}. Nothing was loaded. {remedy}"
            )

    refuse(
        (n for n in floats if not tensors[n].is_floating_point()),
        "whole numbers where fractions belong",
        "This looks like a quantised export: give the file it was made from.",
    )
    refuse(
        (n for n in names if not wanted[n].is_floating_point() and tensors[n].is_floating_point()),
        "fractions where whole numbers belong",
        "Give the file as its library wrote it.",
    )
    refuse(
        (n for n in floats if not bool(tensors[n].isfinite().all())),
        "NaN or infinite values",
        "The training that wrote it had diverged, or the file is damaged: take an earlier checkpoint.",
    )
    refuse(
        (n for n in floats if n.endswith("running_var") and bool((tensors[n] < 0).any())),
        "negative variances",
        "The file is damaged, or is a difference of two others: give the weights themselves.",
    )
    zero = [n for n in floats if tensors[n].numel() and not bool(tensors[n].any())]
    layers = [n for n in zero if body and _is_layer(n, tensors[n])]
    variances = [n for n in floats if n.endswith("running_var")]  # one may have died, not all
    none_varies = variances if set(variances) <= set(zero) else []
    refuse(
        layers or (zero if len(zero) == len(floats) else none_varies),
        "nothing but zeros",
        "The file was saved before its weights were there (sharded training does that on all processes but one): "
        "give the filled one.",
    )


def _is_layer(name: str, value) -> bool:
    """Whether a tensor is the weight of a convolution or a linear layer; tables of positions and tokens are not."""
    return name.rsplit(".", 1)[-1] == "weight" and value.dim() >= 2 and value.numel() > 1


def few(names, count: int = _SHOWN) -> str:
    """The first names, and that there are more."""
    names = list(names)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
