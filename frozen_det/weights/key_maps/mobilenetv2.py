"""Names of MobileNetV2: torchvision's, those of the older files with a flat block, and timm's.

Source: Sandler et al., CVPR 2018, Table 2: 17 blocks, which torchvision counts through and timm by stage. A block that
does not widen first (the first one) has two convolutions, the others three.
"""

import re
from collections.abc import Mapping

# Blocks of each stage; a width multiplier changes channels only.
_DEPTHS = (1, 2, 3, 4, 3, 3, 1)
_PLACES = [(stage, block) for stage, depth in enumerate(_DEPTHS) for block in range(depth)]
_LAST = len(_PLACES) + 1  # features.N of the last convolution
# Module of a block in timm, whether it widens first -> in torchvision's names, and in the flat ones.
_PARTS = {
    True: {
        "conv_pw": ("0.0", "0"),
        "bn1": ("0.1", "1"),
        "conv_dw": ("1.0", "3"),
        "bn2": ("1.1", "4"),
        "conv_pwl": ("2", "6"),
        "bn3": ("3", "7"),
    },
    False: {"conv_dw": ("0.0", "0"), "bn1": ("0.1", "1"), "conv_pw": ("1", "3"), "bn2": ("2", "4")},
}
_ENDS = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": f"features.{_LAST}.0",
    "bn2": f"features.{_LAST}.1",
    "classifier": "classifier.1",
}
_NESTED, _FLAT, _TIMM = 0, 1, 2
_WORDS = {_NESTED: "torchvision's names", _FLAT: "names with flat blocks", _TIMM: "timm's names"}
_BLOCK = re.compile(r"features\.(\d+)\.conv\.(\d+(?:\.\d+)?)\.(\w+)")


def renamed(state: Mapping, wanted: Mapping) -> tuple[dict, str] | None:
    """A file's tensors under a backbone's names; None unless both are MobileNetV2's, in different layouts.

    Args:
        state: name -> tensor, as the file has them.
        wanted: the backbone's state dict; only names are read.

    Returns:
        the renamed tensors, those of other modules under their own names, and the mapping in words.
    """
    theirs, ours = _layout(state), _layout(wanted)
    if theirs is None or ours is None or theirs == ours:
        return None
    target = _modules(ours)
    names = {name: target[timm] for timm, name in _modules(theirs).items()}
    tensors = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        tensors[f"{names.get(module, module)}.{leaf}"] = value
    return tensors, f"{_WORDS[theirs]} of MobileNetV2 read as {_WORDS[ours]}"


def _layout(names: Mapping) -> int | None:
    if any(_BLOCK.fullmatch(name) for name in names):
        for layout in (_NESTED, _FLAT):
            known = set(_modules(layout).values())
            if all(name.rpartition(".")[0] in known for name in names if name.startswith("features.")):
                return layout
        return None
    known = set(_modules(_TIMM))
    inside = [name.rpartition(".")[0] for name in names if name.startswith("blocks.")]
    return _TIMM if inside and set(inside) <= known else None


def _modules(layout: int) -> dict[str, str]:
    """timm's name of each module -> its name in a layout."""
    modules = {
        f"blocks.{stage}.{block}.{part}": f"features.{number}.conv.{names[min(layout, _FLAT)]}"
        for number, (stage, block) in enumerate(_PLACES, start=1)
        for part, names in _PARTS[number > 1].items()
    }
    modules = {**_ENDS, **modules}
    return dict(zip(modules, modules)) if layout == _TIMM else modules
