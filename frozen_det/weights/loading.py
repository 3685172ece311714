"""Checkpoint loading: read without running code, map keys, load strictly. Refuses what does not fit, with a remedy.

A detector on a frozen backbone never recovers from a checkpoint that did not load: the backbone stays random for
ever. mmengine loads leniently (a file whose keys are all wrong passes without an exception), so every weight that
enters a frozen backbone comes through here.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, closest
from .digest import canonical
from .key_fitting import HEAD_ROOTS, map_names, may_lack
from .key_maps import is_derived
from .known_extras import adapter_hint, is_training_only
from .reading import tensor_files
from .reading.file_kinds import is_safetensors, open_safetensors, refuse_other_files
from .tensor_checks import refuse_impossible, refuse_unreadable

# Where projects keep the weights inside a checkpoint, in the order they are tried. Averaged weights are never
# picked silently: ask for them with `weights=dict(path=..., key='state_dict_ema')`.
WRAPPERS = ("state_dict", "model", "teacher", "model_state_dict", "net", "module", "backbone")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")

SHARDS = (
    " It is one part of weights in several: join them first (transformers: "
    "model.save_pretrained(FOLDER, max_shard_size='100GB'))."
)


@dataclass(frozen=True)
class LoadReport:
    """What a strict load did: how many tensors came in, and what the file held beyond the backbone."""

    loaded: int
    unused: tuple[str, ...]
    mapping: str
    classes: tuple[str, ...] | None = None  # that the file states for its classifier

    def __str__(self):
        text = f"{self.loaded} of {self.loaded} tensors loaded ({self.mapping})"
        if self.unused:
            shown = ", ".join(self.unused[:3]) + (", ..." if len(self.unused) > 3 else "")
            text += f"; {len(self.unused)} not needed by the backbone: {shown}"
        return text


def read(path, map_location="cpu"):
    """Read a checkpoint file of any known kind without running code from it.

    Args:
        path: a safetensors file, or anything `torch.save` wrote, whatever its name ends in; or such a file of
            `torch.save`, open and binary.
        map_location: device, as in `torch.load`.

    Returns:
        The object in the file; for safetensors ``{"state_dict": tensors, "meta": {"safetensors": metadata}}``.

    Raises:
        InputError: missing, truncated, in need of code, or no weights file at all.
    """
    if hasattr(path, "read"):
        return tensor_files.load(path, map_location)
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"expected a weights file, but {path} is a folder. {_file_in(path)}")
    if path.is_file():
        refuse_other_files(path)
        if is_safetensors(path):
            device = "cpu" if callable(map_location) or map_location is None else str(map_location)
            with open_safetensors(path, device) as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
                return {"state_dict": tensors, "meta": {"safetensors": file.metadata() or {}}}
    return tensor_files.load(path, map_location)


def state_dict_of(checkpoint, where: str, key: str | None = None) -> dict:
    """The named tensors inside a checkpoint object.

    Args:
        checkpoint: what :func:`read` gave.
        where: the file, for messages.
        key: the entry to take, e.g. `state_dict_ema`, or `models.ema` for one inside another; by default the first
            of :data:`WRAPPERS` that is there.

    Raises:
        InputError: no tensors found, `key` is not there, or another entry holds the same network with other values.
    """
    if not isinstance(checkpoint, Mapping):
        raise InputError(
            f"expected a dictionary of tensors in {where}, got {type(checkpoint).__name__}. Save "
            "`model.state_dict()` instead of the model."
        )
    if key is not None:
        checkpoint = _entry(checkpoint, key, where)
    for _ in range(_DEPTH):
        inner = next((name for name in WRAPPERS if isinstance(checkpoint.get(name), Mapping)), None)
        if inner is None:
            break
        _refuse_rivals(checkpoint, inner, where)
        checkpoint = checkpoint[inner]
    tensors = _tensors(checkpoint)
    if not tensors:
        raise InputError(
            f"expected tensors in {where}, but none were found under its entries "
            f"{sorted(map(str, checkpoint))[:12]}.{_other_entries(checkpoint)}"
        )
    return tensors


_DEPTH = 3  # files are wrapped at most a few times


def _tensors(mapping) -> dict:
    import torch

    return {str(name): value for name, value in mapping.items() if isinstance(value, torch.Tensor)}


def _entry(checkpoint: Mapping, key: str, where: str) -> Mapping:
    """The dictionary under a key, or under a path of keys with dots between them."""
    found = checkpoint
    for part in [key] if key in checkpoint else key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            known = sorted(map(str, found)) if isinstance(found, Mapping) else []
            raise InputError(
                f"expected the entry {key!r} in {where}, but it holds {known[:12]}; {closest(part, known)}"
            )
        found = found[part]
    if not isinstance(found, Mapping):
        raise InputError(f"expected tensors under the entry {key!r} of {where}, got {type(found).__name__}.")
    return found


def _networks(checkpoint: Mapping) -> dict[str, dict]:
    """The entries of a checkpoint that hold named tensors, however deeply wrapped."""
    found = {}
    for name, value in checkpoint.items():
        for _ in range(_DEPTH):
            inner = (
                None
                if not isinstance(value, Mapping)
                else next((key for key in WRAPPERS if isinstance(value.get(key), Mapping)), None)
            )
            if inner is None:
                break
            value = value[inner]
        tensors = _tensors(value) if isinstance(value, Mapping) else {}
        if tensors:
            found[str(name)] = tensors
    return found


def _file_in(folder: Path) -> str:
    """What to give in a folder's place."""
    from .kept_checkpoints import best_checkpoint, latest_checkpoint

    found = latest_checkpoint(folder) or best_checkpoint(folder)
    return f"Give its newest checkpoint: {found}." if found else "It holds no checkpoint: give the path of a file."


def meta_of(checkpoint, where: str) -> Mapping:
    """What a checkpoint says beside its tensors; empty where it says nothing.

    Args:
        checkpoint: what :func:`read` gave.
        where: the file, for messages.

    Raises:
        InputError: something else than a dict stands there.
    """
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    if meta is not None and not isinstance(meta, Mapping):
        raise InputError(
            f"expected a dict as `meta` of {where}, as training writes it, got {type(meta).__name__} "
            f"{str(meta)[:40]!r}: the file was changed. Use it as it was written."
        )
    return meta or {}


def is_averaged_by_host(checkpoint) -> bool:
    """Whether mmengine's averaging hook took part in a checkpoint: its `state_dict` is the average, which was
    evaluated, and `ema_state_dict` holds the raw weights. Other projects use the second name for the average."""
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    return isinstance(meta, Mapping) and "mmengine_version" in meta and "ema_state_dict" in checkpoint


def _refuse_rivals(checkpoint: Mapping, chosen: str, where: str) -> None:
    """Refuse a file that holds the network again under another entry, with other values."""
    networks = _networks(checkpoint)
    mine = networks.pop(chosen, {})
    if chosen == "state_dict" and is_averaged_by_host(checkpoint):
        networks.pop("ema_state_dict")
    for other, theirs in networks.items():
        if _is_same_network(mine, theirs) and not _are_equal(mine, theirs):
            raise InputError(
                f"expected one network in {where}, got two that differ, under the entries {chosen!r} and {other!r}. "
                f"Nothing was loaded. Say which one is meant: weights=dict(path={where!r}, key={chosen!r}) or "
                f"key={other!r}."
            )


def _is_same_network(one: Mapping, other: Mapping) -> bool:
    """Whether most tensors of the larger appear in the other, by the end of their names and their shapes."""
    kinds = [
        Counter(
            (".".join(name.split(".")[-2:]), tuple(value.shape) if not value.is_nested else ())
            for name, value in tensors.items()
        )
        for tensors in (one, other)
    ]
    return 2 * (kinds[0] & kinds[1]).total() > max(map(len, (one, other)))


def _are_equal(one: Mapping, other: Mapping) -> bool:
    import torch

    one, other = ({canonical(name): value for name, value in tensors.items()} for tensors in (one, other))
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and torch.equal(one[name], other[name]) for name in one
    )


def _other_entries(checkpoint: Mapping) -> str:
    """What to do about a file without tensors at the usual places."""
    networks = _networks(checkpoint)
    if networks:
        name = next((name for name in AVERAGED if name in networks), next(iter(networks)))
        kind = "averaged weights" if name in AVERAGED else "tensors under other entries"
        return f" It holds {kind}: ask for them with key={name!r}."
    if "optimizer" in checkpoint or {"state", "param_groups"} <= set(checkpoint):
        return " It holds the state of an optimiser, without a model: give the file the model was saved in."
    if "weight_map" in checkpoint:
        return SHARDS
    return ""


def load_strictly(module, state: Mapping, where: str, architecture_keys=()) -> LoadReport:
    """Load every persistent tensor of `module` from `state`, or raise and change nothing.

    Args:
        module: the backbone to fill.
        state: name -> tensor, names as some project wrote them (prefixes and known renamings are mapped).
        where: the file or library, for messages.
        architecture_keys: names that the full architecture has beyond `module` (e.g. its classifier head). Entries
            of the file under such names are left out and counted; any other leftover is an error.

    Raises:
        InputError: something is missing, left over, or of another shape; with the first names and the nearest mapping.
    """
    import torch

    refuse_unreadable(state, where)
    wanted = module.state_dict()
    found = map_names(state, wanted, where)
    mapped = dict(found.tensors)
    # Not learnt: what follows from the architecture, and the step counts of norms, which old files lack.
    kept = {name: value for name, value in wanted.items() if name not in mapped and may_lack(name)}
    if len(kept) < len(wanted):
        mapped.update(kept)
    missing = [name for name in wanted if name not in mapped]
    shapes = [name for name in wanted if name in mapped and mapped[name].shape != wanted[name].shape]
    allowed = set(architecture_keys)
    left = [name for name in mapped if name not in wanted]
    unexpected = [
        name
        for name in left
        if name not in allowed
        and name.split(".")[0] not in HEAD_ROOTS
        and not is_derived(name)
        and not is_training_only(name)
    ]
    if missing or shapes or unexpected:
        raise InputError(
            _mismatch_message(where, wanted, mapped, missing, unexpected, shapes, found.how) + _what_it_is(state, where)
        )
    refuse_impossible(mapped, wanted, where)
    # A copy into the existing tensors keeps dtype, device and sharing; strict=True guards our own arithmetic.
    with torch.no_grad():
        module.load_state_dict({name: mapped[name] for name in wanted}, strict=True)
    # With a prefix removed, what stood outside it (e.g. a neck) belongs to another module: left out, but counted.
    return LoadReport(len(wanted), (*left, *found.outside), found.how)


def _mismatch_message(where, wanted, mapped, missing, unexpected, shapes, mapping) -> str:
    lines = [
        f"{where} does not fit the backbone: {len(missing)} of {len(wanted)} tensors missing, {len(unexpected)} "
        f"unexpected, {len(shapes)} of another shape (nearest mapping tried: {mapping})."
    ]
    if missing:
        lines.append(f"first missing: {', '.join(missing[:3])}.")
    if unexpected:
        lines.append(f"first unexpected: {', '.join(unexpected[:3])}.")
    if shapes:
        name = shapes[0]
        lines.append(
            f"first shape: {name} is {tuple(mapped[name].shape)} in the file, {tuple(wanted[name].shape)} in the "
            "backbone."
        )
    lines.append("Nothing was loaded. Give weights of this architecture, or change `body` to that of the file.")
    return " ".join(lines)


def _what_it_is(state: Mapping, where: str) -> str:
    """What a file that does not fit may be, as far as its names show; with a space in front."""
    hint = adapter_hint(state) or (SHARDS if re.search(r"-\d{5}-of-\d{5}\.", where) else "")
    return f" {hint.strip()}" if hint else ""
