"""Key layouts: the same tensors under timm's, torchvision's, mmdet's and mmpretrain's names.

Renaming there and back gives the same bits. An architecture whose names are not known is refused,
never guessed.
"""

from collections.abc import Mapping

from ...errors import InputError
from . import efficientnet, mobilenetv2, tensorflow_resnet
from .families import RULES
from .templates import Rule, fill, match

LAYOUTS = ("timm", "torchvision", "mmdet", "mmpretrain")
_READ = (*LAYOUTS, "official")
FAMILIES = (*RULES, "efficientnet")

# Computed from the architecture, not learnt: some libraries store them, some do not.
DERIVED = ("relative_position_index", "relative_coords_table", "attn_mask")

_TIMM_HEADS = ("head", "fc", "classifier")


def is_derived(name: str) -> bool:
    """Whether a state-dict entry follows from the architecture, so that a file need not hold it."""
    return name.rsplit(".", 1)[-1] in DERIVED


def find_family(state: Mapping, layout: str) -> str | None:
    """The family whose names in `layout` these are, all of them; None if there is none."""
    return next((family for family in FAMILIES if _to_timm_names(family, layout, state) is not None), None)


def to_timm(state: Mapping, family: str, layout: str) -> dict:
    """Rename a state from a layout to timm's names.

    Args:
        state: name -> tensor.
        family, layout: as :func:`find_family` found them.
    """
    names = _to_timm_names(family, layout, state)
    assert names is not None, (family, layout)
    return {timm: state[name] if change is None else change(state[name]) for name, (timm, change) in names.items()}


def rename(state: Mapping, source: str, target: str, where: str) -> tuple[dict, dict[str, str]]:
    """Rename a state from one library's layout to another's.

    mmpretrain's names begin with `backbone.`, as its files do. A classifier that the target keeps outside the
    backbone is left out, and so is what is computed and not learnt.

    Args:
        state: name -> tensor, all of one backbone.
        source, target: of :data:`LAYOUTS`.
        where: the architecture, for messages.

    Returns:
        the renamed tensors, and name in `state` -> new name.

    Raises:
        InputError: an architecture whose names are not known in both.
    """
    learnt = {name: value for name, value in state.items() if not is_derived(name)}
    family = next(
        (
            family
            for family in FAMILIES
            if _to_timm_names(family, source, learnt) is not None
            and (target == "timm" or family == "efficientnet" or target in RULES[family])
        ),
        None,
    )
    if family is None:
        raise InputError(
            f"expected an architecture whose names in the layout {target!r} are known, got {where}. "
            f"Known families: {_known(target)}. Export it with --layout plain."
        )
    first = _to_timm_names(family, source, learnt)
    second = _from_timm_names(family, target, to_timm(learnt, family, source), where)
    prefix = "backbone." if target == "mmpretrain" else ""
    renamed, names = {}, {}
    for name, (timm, change) in first.items():
        if timm not in second:
            continue
        value = state[name] if change is None else change(state[name])
        names[name], change = prefix + second[timm][0], second[timm][1]
        renamed[names[name]] = value if change is None else change(value).contiguous()
    return renamed, names


def _from_timm_names(family: str, layout: str, state: Mapping, where: str) -> dict:
    """timm's name -> (the name in `layout`, what happens to the tensor)."""
    if layout == "timm":
        return {name: (name, None) for name in state}
    if family == "efficientnet":
        return {name: (text, None) for name, text in efficientnet.names_of(layout, state).items()}
    names = {}
    for name in state:
        found = _rule_of(RULES[family][layout], name)
        if found is not None:
            names[name] = (fill(found[0].other, found[1]), found[0].to_other)
        elif name.split(".")[0] not in _TIMM_HEADS:
            raise InputError(
                f"the layout {layout!r} has no place for {name} of {where}: that library's {family} "
                "lacks this part. Export it with --layout plain."
            )
    return names


def renamed_to_fit(state: Mapping, wanted: Mapping, heads: frozenset[str]) -> tuple[dict, str] | None:
    """Bring a file's tensors under the names of a backbone, through timm's names.

    Args:
        state: the file's tensors, without any common prefix.
        wanted: the backbone's own state dict; only shapes are read.
        heads: roots of names that belong to classifiers; they may have any name below.

    Returns:
        the renamed tensors and a description of the mapping, or None where no family has both kinds of names.
    """
    counted = tensorflow_resnet.timm_names(state, tensorflow_resnet.blocks_of(wanted))
    if counted is not None:
        return counted, "layers of a TensorFlow ResNet-RS counted through"
    mobile = mobilenetv2.renamed(state, wanted)
    if mobile is not None:
        return mobile
    state, classifier = _without_heads(state, heads)
    target_names, _ = _without_heads(wanted, heads)
    best, fits = None, 0
    for family in FAMILIES:
        for theirs in _READ:
            source = _to_timm_names(family, theirs, state)
            for ours in LAYOUTS if source else ():
                if ours == theirs or _to_timm_names(family, ours, target_names) is None:
                    continue
                mapped = _joined(
                    to_timm(state, family, theirs) | _classifier_to_timm(classifier, family, theirs),
                    wanted,
                    family,
                    ours,
                )
                count = sum(name in mapped and mapped[name].shape == value.shape for name, value in wanted.items())
                if count > fits:
                    best = mapped, f"{theirs} names of the {family} family read as {ours}'s"
                    fits = count
    return best


def _without_heads(state: Mapping, heads: frozenset[str]) -> tuple[dict, dict]:
    """Learnt tensors of the backbone, and those of the classifier."""
    learnt = {name: value for name, value in state.items() if not is_derived(name)}
    body = {name: value for name, value in learnt.items() if name.split(".")[0] not in heads}
    return body, {name: value for name, value in learnt.items() if name not in body}


def _classifier_to_timm(classifier: Mapping, family: str, layout: str) -> dict:
    """Tensors of a classifier under timm's names, where they are known; the others keep theirs."""
    named = {}
    for name, value in classifier.items():
        if family == "efficientnet":
            named[efficientnet.classifier_name(layout, name)] = value
            continue
        found = _rule_of(RULES[family].get(layout, ()), name, reading=True)
        named[name if found is None else fill(found[0].timm, found[1])] = value
    return named


def _joined(timm_state: Mapping, wanted: Mapping, family: str, ours: str) -> dict:
    """Tensors in timm's names under the names of `ours`, shaped as the backbone has them."""
    mapped = {}
    renames = {}
    if family == "efficientnet" and ours != "timm":
        known = efficientnet.timm_names("timm", timm_state) or {}
        renames = efficientnet.names_of(ours, {name: timm_state[name] for name in known})
    for timm, value in timm_state.items():
        name = renames.get(timm, timm)
        if ours != "timm" and family != "efficientnet":
            found = _rule_of(RULES[family][ours], timm)
            if found is not None:
                name = fill(found[0].other, found[1])
                value = value if found[0].to_other is None else found[0].to_other(value)
        if name in wanted and _squeezed(value) == _squeezed(wanted[name]):
            value = value.reshape(wanted[name].shape)  # a linear layer is a 1x1 convolution
        mapped[name] = value
    return mapped


def _squeezed(value) -> tuple[int, ...]:
    return tuple(size for size in value.shape if size != 1)


def _to_timm_names(family: str, layout: str, state: Mapping) -> dict | None:
    """Name in `state` -> (timm's name, what happens to the tensor); None unless all names are the family's."""
    learnt = {name: value for name, value in state.items() if not is_derived(name)}
    if family == "efficientnet":
        names = efficientnet.timm_names(layout, learnt) if layout in LAYOUTS else None
        return None if names is None else {name: (timm, None) for name, timm in names.items()}
    tables = RULES[family]
    if layout == "timm":
        every = [rule for rules in tables.values() for rule in rules]
        known = all(any(match(rule.timm, name) is not None for rule in every) for name in learnt)
        return {name: (name, None) for name in learnt} if known and learnt else None
    names = {}
    for name in learnt if layout in tables else ():
        found = _rule_of(tables[layout], name, reading=True)
        if found is None:
            return None
        names[name] = (fill(found[0].timm, found[1]), found[0].to_timm)
    return names or None


def _rule_of(rules: tuple[Rule, ...], name: str, reading: bool = False):
    """The rule for a name and its fields: timm's name, or the other library's when reading."""
    for rule in rules:
        values = match(rule.other if reading else rule.timm, name)
        if values is not None:
            return rule, values
    return None


def _known(layout: str) -> str:
    return ", ".join(family for family in FAMILIES if family == "efficientnet" or layout in RULES[family])
