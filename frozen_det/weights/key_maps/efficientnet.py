"""Names of EfficientNet B0 to B8: blocks are counted by stage in timm and torchvision, by resolution in mmdet.

The names of a block's layers depend on whether it widens first, so a single name is ambiguous; a state dict is not.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .templates import fill, match

# Part of a block -> its module, in a block that widens first and in one that does not (those of the first stage).
_TIMM = {
    True: {
        "expand.conv": "conv_pw",
        "expand.norm": "bn1",
        "depthwise.conv": "conv_dw",
        "depthwise.norm": "bn2",
        "squeeze": "se.conv_reduce",
        "excite": "se.conv_expand",
        "project.conv": "conv_pwl",
        "project.norm": "bn3",
    },
    False: {
        "depthwise.conv": "conv_dw",
        "depthwise.norm": "bn1",
        "squeeze": "se.conv_reduce",
        "excite": "se.conv_expand",
        "project.conv": "conv_pw",
        "project.norm": "bn2",
    },
}
_TORCHVISION = {
    True: {
        "expand.conv": "block.0.0",
        "expand.norm": "block.0.1",
        "depthwise.conv": "block.1.0",
        "depthwise.norm": "block.1.1",
        "squeeze": "block.2.fc1",
        "excite": "block.2.fc2",
        "project.conv": "block.3.0",
        "project.norm": "block.3.1",
    },
    False: {
        "depthwise.conv": "block.0.0",
        "depthwise.norm": "block.0.1",
        "squeeze": "block.1.fc1",
        "excite": "block.1.fc2",
        "project.conv": "block.2.0",
        "project.norm": "block.2.1",
    },
}
_MM_PARTS = {
    "expand.conv": "expand_conv.conv",
    "expand.norm": "expand_conv.bn",
    "depthwise.conv": "depthwise_conv.conv",
    "depthwise.norm": "depthwise_conv.bn",
    "squeeze": "se.conv1.conv",
    "excite": "se.conv2.conv",
    "project.conv": "linear_conv.conv",
    "project.norm": "linear_conv.bn",
}
_MM = {True: _MM_PARTS, False: _MM_PARTS}
_PARTS = {"timm": _TIMM, "torchvision": _TORCHVISION, "mmdet": _MM, "mmpretrain": _MM}
_BLOCK = {
    "timm": "blocks.{s}.{b}",
    "torchvision": "features.{s+1}.{b}",
    "mmdet": "layers.{s+1}.{b}",
    "mmpretrain": "layers.{s+1}.{b}",
}
_ENDS = {
    "timm": {
        "stem.conv": "conv_stem",
        "stem.norm": "bn1",
        "last.conv": "conv_head",
        "last.norm": "bn2",
        "head": "classifier",
    },
    "torchvision": {
        "stem.conv": "features.0.0",
        "stem.norm": "features.0.1",
        "last.conv": "features.8.0",
        "last.norm": "features.8.1",
        "head": "classifier.1",
    },
    "mmdet": {
        "stem.conv": "layers.0.conv",
        "stem.norm": "layers.0.bn",
        "last.conv": "layers.6.conv",
        "last.norm": "layers.6.bn",
    },
}
_ENDS["mmpretrain"] = _ENDS["mmdet"]
# mmdet's layer (from 1) of each stage (from 0): stages of one resolution are one layer.
_MM_LAYER = (1, 2, 3, 4, 4, 5, 5)


@dataclass(frozen=True)
class _Entry:
    """Where a tensor belongs: stage and block from 0, or stage -1 for what is outside the blocks."""

    stage: int
    block: int
    part: str
    leaf: str
    widens: bool = False


def timm_names(layout: str, state: Mapping) -> dict[str, str] | None:
    """Name in `state` -> timm's name, or None if these are not an EfficientNet's names in that layout.

    Args:
        layout: one of timm, torchvision, mmdet, mmpretrain.
        state: name -> tensor; only shapes are read.
    """
    entries = _parse(layout, state)
    return None if entries is None else {name: _name("timm", entry, {}) for name, entry in entries.items()}


def names_of(layout: str, state: Mapping) -> dict[str, str]:
    """timm's name -> the name in another layout, for a state in timm's names.

    What the layout has no word for (mmdet has no classifier) is left out.
    """
    entries = _parse("timm", state)
    assert entries is not None
    depths = Counter(stage for stage, _ in {(e.stage, e.block) for e in entries.values() if e.stage >= 0})
    names = {name: _name(layout, entry, depths) for name, entry in entries.items()}
    return {name: text for name, text in names.items() if text is not None}


def classifier_name(layout: str, name: str) -> str:
    """timm's name of a classifier's tensor; another name is given back as it is."""
    module, _, leaf = name.rpartition(".")
    return f"{_ENDS['timm']['head']}.{leaf}" if module == _ENDS[layout].get("head") else name


def _parse(layout: str, state: Mapping) -> dict[str, _Entry] | None:
    ends = {text: part for part, text in _ENDS[layout].items()}
    entries, inside = {}, {}
    for name in state:
        module, _, leaf = name.rpartition(".")
        if module in ends:
            entries[name] = _Entry(-1, 0, ends[module], leaf)
            continue
        path = module.split(".", 3)
        place = match(_BLOCK[layout], ".".join(path[:3])) if len(path) == 4 else None
        if place is None:
            return None
        inside.setdefault((place["s"], place["b"]), []).append((name, path[3], leaf))
    for (stage, block), members in inside.items():
        modules = {module for _, module, _ in members}
        # The names of a block that does not widen are among those of one that does (timm), so they are tried first.
        known = next(
            (
                {text: part for part, text in _PARTS[layout][widens].items()}
                for widens in (False, True)
                if modules <= set(_PARTS[layout][widens].values())
            ),
            None,
        )
        if known is None:
            return None
        widens = any(known[module].startswith("expand") for module in modules)
        entries.update({name: _Entry(stage, block, known[module], leaf, widens) for name, module, leaf in members})
    if not inside:
        return None
    return _split_layers(entries, state) if layout.startswith("mm") else entries


def _split_layers(entries: dict[str, _Entry], state: Mapping) -> dict[str, _Entry]:
    """mmdet's layers as stages: a new one begins where the number of channels changes, or the layer."""
    width = {
        (e.stage, e.block): state[name].shape[0]
        for name, e in entries.items()
        if e.part == "project.conv" and e.stage >= 0
    }
    place, stage, block, before = {}, -1, 0, None
    for key in sorted(width):
        block += 1
        if before is None or before[0] != key[0] or width[before] != width[key]:
            stage, block = stage + 1, 0
        place[key], before = (stage, block), key
    return {
        name: e if e.stage < 0 else replace(e, stage=place[e.stage, e.block][0], block=place[e.stage, e.block][1])
        for name, e in entries.items()
    }


def _name(layout: str, entry: _Entry, depths: Mapping[int, int]) -> str | None:
    """`depths`: number of blocks of each stage; only needed by layers of several stages."""
    if entry.stage < 0:
        module = _ENDS[layout].get(entry.part)
        return None if module is None else f"{module}.{entry.leaf}"
    stage, block = entry.stage, entry.block
    if layout.startswith("mm"):
        layer = _MM_LAYER[stage]
        block += sum(depths[other] for other in range(stage) if _MM_LAYER[other] == layer)
        stage = layer - 1
    return f"{fill(_BLOCK[layout], dict(s=stage, b=block))}.{_PARTS[layout][entry.widens][entry.part]}.{entry.leaf}"
