"""The one door for weights: read, map keys, load strictly. Refuses what does not fit, and says what would.

A detector on a frozen backbone never recovers from a checkpoint that did not load: the backbone stays random for
ever. mmengine loads leniently (a file whose keys are all wrong passes without an exception), so every weight that
enters a frozen body comes through here.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import safe_pickle
from .errors import InputError, closest
from .layouts import is_derived, renamed_to_fit

# Where projects keep the weights inside a checkpoint, in the order they are tried. Averaged weights are never
# picked silently: ask for them with `weights=dict(path=..., key='state_dict_ema')`.
WRAPPERS = ("state_dict", "model", "teacher", "model_state_dict", "net", "module", "backbone")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")

# Roots under which libraries keep the classifier: a body does not need them, whatever their shape.
HEAD_ROOTS = frozenset({"fc", "head", "heads", "classifier", "last_linear", "head_dist", "head_drop", "pre_logits"})


@dataclass(frozen=True)
class LoadReport:
    """What a strict load did: how many tensors came in, and what the file held beyond the body."""

    loaded: int
    unused: tuple[str, ...]
    mapping: str

    def __str__(self):
        text = f"{self.loaded} of {self.loaded} tensors loaded ({self.mapping})"
        if self.unused:
            shown = ", ".join(self.unused[:3]) + (", ..." if len(self.unused) > 3 else "")
            text += f"; {len(self.unused)} not needed by the body: {shown}"
        return text


def read(path, map_location="cpu"):
    """Read a checkpoint file of any known kind without running code from it.

    Args:
        path: `.safetensors`, or anything `torch.save` wrote.
        map_location: device, as in `torch.load`.

    Returns:
        The object in the file; for safetensors ``{"state_dict": tensors, "meta": {"safetensors": metadata}}``.

    Raises:
        InputError: missing, truncated, or in need of code.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        return safe_pickle.load(path, map_location)
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"expected a weights file, but {path} does not exist.")
    device = "cpu" if callable(map_location) or map_location is None else str(map_location)
    try:
        with safe_open(str(path), framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
            return {"state_dict": tensors, "meta": {"safetensors": file.metadata() or {}}}
    except (SafetensorError, OSError) as error:
        raise InputError(f"expected a whole safetensors file, but {path} is broken or incomplete ({error}; "
                         f"{path.stat().st_size} bytes). Copy or download it again.") from error


def state_dict_of(checkpoint, where: str, key: str | None = None) -> dict:
    """The named tensors inside a checkpoint object.

    Args:
        checkpoint: what :func:`read` gave.
        where: the file, for messages.
        key: the entry to take, e.g. `state_dict_ema`; by default the first of :data:`WRAPPERS` that is there.

    Raises:
        InputError: no tensors found, or `key` is not there.
    """
    import torch

    if not isinstance(checkpoint, Mapping):
        raise InputError(f"expected a dictionary of tensors in {where}, got {type(checkpoint).__name__}. Save "
                         "`model.state_dict()` instead of the model.")
    if key is not None:
        if key not in checkpoint:
            raise InputError(f"expected the entry {key!r} in {where}, but it holds "
                             f"{sorted(map(str, checkpoint))[:12]}; "
                             f"{closest(key, checkpoint)}")
        checkpoint = checkpoint[key]
    else:
        for _ in range(3):  # files are wrapped at most a few times
            inner = next((name for name in WRAPPERS if isinstance(checkpoint.get(name), Mapping)), None)
            if inner is None:
                break
            checkpoint = checkpoint[inner]
    tensors = {str(name): value for name, value in checkpoint.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        averaged = [name for name in AVERAGED if isinstance(checkpoint.get(name), Mapping)]
        hint = f" It holds averaged weights: ask for them with key={averaged[0]!r}." if averaged else ""
        raise InputError(f"expected tensors in {where}, but none were found under its entries "
                         f"{sorted(map(str, checkpoint))[:12]}.{hint}")
    return tensors


def load_strictly(module, state: Mapping, where: str, architecture_keys=()) -> LoadReport:
    """Load every persistent tensor of `module` from `state`, or raise and change nothing.

    Args:
        module: the body to fill.
        state: name -> tensor, names as some project wrote them (prefixes and known renamings are mapped).
        where: the file or library, for messages.
        architecture_keys: names that the full architecture has beyond `module` (its classifier head, say). Entries
            of the file under such names are left out and counted; any other leftover is an error.

    Raises:
        InputError: something is missing, left over, or of another shape; with the first names and the nearest mapping.
    """
    import torch

    wanted = module.state_dict()
    mapped, mapping = _map_names(state, wanted)
    # Not learnt: what follows from the architecture, and the step counts of norms, which old files lack.
    kept = {name: value for name, value in wanted.items()
            if name not in mapped and (is_derived(name) or name.endswith("num_batches_tracked"))}
    if len(kept) < len(wanted):
        mapped.update(kept)
    missing = [name for name in wanted if name not in mapped]
    shapes = [name for name in wanted if name in mapped and mapped[name].shape != wanted[name].shape]
    allowed = set(architecture_keys)
    left = [name for name in mapped if name not in wanted]
    unexpected = [name for name in left if name not in allowed and name.split(".")[0] not in HEAD_ROOTS
                  and not is_derived(name)]
    # With a prefix removed, what stood outside it (a neck, say) belongs to another module: left out, but counted.
    left += [name for name in state if len(mapped) < len(state) and not any(name.endswith(key) for key in mapped)]
    if missing or shapes or unexpected:
        raise InputError(_mismatch_message(where, wanted, mapped, missing, unexpected, shapes, mapping))
    # A copy into the existing tensors keeps dtype, device and sharing; strict=True guards our own arithmetic.
    with torch.no_grad():
        module.load_state_dict({name: mapped[name] for name in wanted}, strict=True)
    return LoadReport(len(wanted), tuple(left), mapping)


def _mismatch_message(where, wanted, mapped, missing, unexpected, shapes, mapping) -> str:
    lines = [f"{where} does not fit the body: {len(missing)} of {len(wanted)} tensors missing, {len(unexpected)} "
             f"unexpected, {len(shapes)} of another shape (nearest mapping tried: {mapping})."]
    if missing:
        lines.append(f"first missing: {', '.join(missing[:3])}.")
    if unexpected:
        lines.append(f"first unexpected: {', '.join(unexpected[:3])}.")
    if shapes:
        name = shapes[0]
        lines.append(f"first shape: {name} is {tuple(mapped[name].shape)} in the file, {tuple(wanted[name].shape)} in "
                     "the body.")
    lines.append("Nothing was loaded. Give weights of this architecture, or change `body` to the one the file is of.")
    return " ".join(lines)


def _map_names(state: Mapping, wanted: Mapping) -> tuple[dict, str]:
    """Rename the file's entries to the body's names: by the prefix that fits most, then by known renamings."""
    candidates = [(state, "names as they are")]
    for prefix in _prefixes(state, wanted):
        stripped = {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}
        candidates.append((stripped, f"prefix {prefix!r} removed"))
    for names, text in list(candidates[:3]):
        renamed = _without_feature_names(names)
        if renamed is not None:
            candidates.append((renamed, f"{text}, features_only names restored"))
        ordered = _by_order(names, wanted)
        if ordered is not None:
            candidates.append((ordered, f"{text}, `_blocks.` names matched by order, kind and shape"))
    def fits(names) -> int:
        return sum(name in wanted and value.shape == wanted[name].shape for name, value in names.items())

    best = max(candidates, key=lambda pair: fits(pair[0]))
    if fits(best[0]) < len(wanted):
        # Names of another library: tried last, because it is slow and the plain ways never need it.
        for prefix in ("", *_common_prefixes(state)):
            stripped = {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}
            renamed = renamed_to_fit(stripped, wanted, HEAD_ROOTS)
            if renamed is not None and fits(renamed[0]) > fits(best[0]):
                best = renamed[0], renamed[1] + (f", prefix {prefix!r} removed" if prefix else "")
    return dict(best[0]), best[1]


def _common_prefixes(state: Mapping) -> list[str]:
    """Leading parts (`module.`, `backbone.`, `module.backbone.`) that more than half of the names begin with."""
    votes = Counter()
    for name in state:
        parts = name.split(".")[:-1]
        votes.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), 3) + 1))
    return [prefix for prefix, count in votes.items() if 2 * count > len(state)]


def _prefixes(state: Mapping, wanted: Mapping) -> list[str]:
    """Prefixes under which names of the body appear in the file, the most frequent first."""
    votes = Counter()
    names = set(wanted)
    for key in state:
        at = key.find(".")
        while at != -1:
            if key[at + 1:] in names:
                votes[key[:at + 1]] += 1
            at = key.find(".", at + 1)
    return [prefix for prefix, _ in votes.most_common(4)]


def _without_feature_names(state: Mapping) -> dict | None:
    """timm's `features_only=True` flattens `stages.0` to `stages_0`; give the plain names back."""
    import re

    pattern = re.compile(r"^(stem|stages|layers|blocks|features|body|levels|downsample_layers)_(\d+)\.")
    if not any(pattern.match(name) for name in state):
        return None
    return {pattern.sub(r"\1.\2.", name): value for name, value in state.items()}


def _by_order(state: Mapping, wanted: Mapping) -> dict | None:
    """EfficientNet(-Lite) files of the `_blocks.` family: same tensors in the same order under other names.

    Accepted only if every kept entry agrees in kind (weight, running_mean, ...) and shape, one by one; the entries
    of the head that follow the body in the file stay under their own names, mapped to timm's.
    """
    if not any(name.startswith("_blocks.") for name in state) or "_conv_stem.weight" not in state:
        return None
    head = {"_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    body, rest = [], {}
    for name, value in state.items():
        root, _, kind = name.partition(".")
        if root in head:
            rest[f"{head[root]}.{kind}"] = value
        else:
            body.append((name, value))
    names = [name for name in wanted if name.split(".")[0] not in head.values()]
    if len(names) != len(body):
        return None
    for name, (theirs, value) in zip(names, body):
        if name.rsplit(".", 1)[1] != theirs.rsplit(".", 1)[1] or wanted[name].shape != value.shape:
            return None
    return {**{name: value for name, (_, value) in zip(names, body)}, **rest}
