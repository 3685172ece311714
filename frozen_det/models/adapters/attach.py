"""Choose target layers, build adapters and attach them by hooks; merge them into the base weights and unmerge them.

Base modules keep their names, and `unmerge` restores their weights bit by bit. Adapters are merged all or none.
"""

import inspect
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ...errors import InputError, closest
from ...host.devices import float64_of
from ...registry import ADAPTERS
from ..backbone_sources.build import Body
from .base import Adapter, SiteHook
from .target_layers import ROLES, Site, Survey, survey


class Adapters(nn.Module):
    """The adapters of one backbone, each under the name of its target layer, e.g. `layer1.0.conv2`.

    Attributes:
        kind: e.g. ``parallel``.
        all_sites: every possible target layer, adapted or not.
        adapted: the target layers with an adapter.
        trained_norms: names of the base norms that train with the adapters (task norms).
        merged: whether the base weights currently contain the adapters. If so, the state dict has no adapters, so that
            loading it cannot apply them twice.
    """

    def __init__(
        self, kind: str, all_sites: Sequence[Site], adapted: Sequence[Site], trained_norms: Sequence[str] = ()
    ):
        super().__init__()
        self.kind, self.all_sites, self.adapted = kind, tuple(all_sites), tuple(adapted)
        self.trained_norms = tuple(trained_norms)
        self.merged = False
        self._originals: dict[str, Tensor] = {}

    def place(self, name: str, adapter: Adapter) -> None:
        """Register an adapter under the dotted name of its target layer."""
        *path, last = name.split(".")
        owner = self
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]
        owner.add_module(last, adapter)

    def by_site(self) -> Iterator[tuple[Site, Adapter]]:
        """Pairs of target layer and adapter."""
        for site in self.adapted:
            yield site, self.get_submodule(site.name)

    def summary(self) -> str:
        """One line with the number of adapters, their kind and their parameters."""
        count = sum(parameter.numel() for parameter in self.parameters())
        norms = f", {len(self.trained_norms)} trainable backbone norms" if self.trained_norms else ""
        state = "merged into the backbone" if self.merged else "not merged"
        return f"{len(self.adapted)} {self.kind} adapters ({count / 1e6:.2f} M parameters) {state}{norms}"

    def originals(self) -> Mapping[str, Tensor]:
        """While merged: the original values of the changed base entries, by name."""
        return self._originals

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """As in `nn.Module`; empty while merged."""
        if self.merged:
            return OrderedDict() if destination is None else destination
        return super().state_dict(*args, destination=destination, prefix=prefix, keep_vars=keep_vars)

    def merge(self, body: nn.Module) -> None:
        """Fold every adapter into the weights of its target layer, in float64, rounded once.

        Raises:
            InputError: an adapter cannot be merged (nothing is changed in that case).
        """
        if self.merged:
            return
        changed = self._folded(body)
        entries = {**dict(body.named_parameters()), **dict(body.named_buffers())}
        self._originals = {name: entries[name].detach().to("cpu", copy=True) for name in changed}
        with torch.no_grad():
            for name, value in changed.items():
                entries[name].copy_(value)
        self._set_merged(True)

    def unmerge(self, body: nn.Module) -> None:
        """Restore the original weights bit by bit; the adapters run separately again."""
        if not self.merged:
            return
        entries = {**dict(body.named_parameters()), **dict(body.named_buffers())}
        with torch.no_grad():
            for name, value in self._originals.items():
                entries[name].copy_(value)
        self._originals = {}
        self._set_merged(False)

    def _set_merged(self, merged: bool) -> None:
        self.merged = merged
        for _, adapter in self.by_site():
            adapter.merged = merged

    def _folded(self, body: nn.Module) -> dict[str, Tensor]:
        """New values (float64) of the base entries, by name."""
        changed, refused = {}, []
        for site, adapter in self.by_site():
            base = body.get_submodule(site.name)
            reason = adapter.unmergeable_reason(base)
            if reason is None:
                bias = getattr(base, "bias", None)
                weight, gained = adapter.fold(
                    float64_of(base.weight.detach()), None if bias is None else float64_of(bias.detach())
                )
                changed[f"{site.name}.weight"] = weight
                if gained is not None:
                    reason = _place_constant(site, base, body, gained, changed)
            if reason is not None:
                refused.append((site, reason))
        if refused:
            site, reason = refused[0]
            raise InputError(
                f"expected adapters that can be merged, but {len(refused)} of {len(self.adapted)} of "
                f"kind {self.kind!r} cannot be: at {site.name} ({site.layer}) {reason}. Nothing was "
                "changed. Keep the adapters unmerged, or leave such target layers out of "
                "model.backbone.adapters.sites."
            )
        return changed


def attach_adapters(module: nn.Module, cfg: Mapping, body: Body) -> Adapters:
    """Build adapters and attach them to target layers by forward hooks.

    Args:
        module: the network, `body.module`.
        cfg: ``dict(type=KIND, ...)``. For all kinds: `sites` (roles or name patterns of the target layers; default: the
            kind's own), `stem` (also the stem, default False), `start_stage` (1 for all; k leaves all layers needed
            by the k - 1 finest features unchanged and without autograd), `train_norms` (base norms from
            `start_stage` on train with batch statistics). Other keys are passed to the kind.
        body: the description of the network.

    Returns:
        the adapters, to be registered as `adapters` of the backbone.

    Raises:
        InputError: unknown kind or option, a target layer that does not fit the kind, or no target layer at all.
    """
    cfg = dict(cfg)
    kind = cfg.pop("type", None)
    ADAPTERS.import_from_location()  # includes plugins
    if kind not in ADAPTERS.module_dict:
        raise InputError(
            f"expected one of {sorted(ADAPTERS.module_dict)} as model.backbone.adapters.type, got "
            f"{kind!r}; {closest(kind, ADAPTERS.module_dict)}"
        )
    cls = ADAPTERS.module_dict[kind]
    wanted, stem = cfg.pop("sites", None), cfg.pop("stem", False)
    start_stage, train_norms = cfg.pop("start_stage", 1), cfg.pop("train_norms", False)
    if not 1 <= start_stage <= len(body.strides):
        raise InputError(
            f"expected model.backbone.adapters.start_stage from 1 to {len(body.strides)} (the number of "
            f"features), got {start_stage}."
        )
    _check_options(cls, kind, cfg)
    found = survey(body)
    chosen = _chosen(found, kind, cls, wanted, stem, start_stage, body.architecture)
    norms = [name for name, stage in found.norms.items() if stage >= start_stage] if train_norms else []
    if train_norms and not norms:
        raise InputError(
            f"model.backbone.adapters.train_norms is set, but {body.architecture} has no norm from stage "
            f"{start_stage} on. Leave it out."
        )
    adapters = Adapters(kind, found.sites, chosen, norms)
    for site in chosen:
        base = module.get_submodule(site.name)
        adapter = cls(base, site, **cfg)
        adapters.place(site.name, adapter.to(base.weight.device))
        base.register_forward_hook(SiteHook(adapter))
    return adapters


def _check_options(cls: type, kind: str, options: Mapping) -> None:
    known = [name for name in inspect.signature(cls).parameters if name not in ("base", "site")]
    common = ["sites", "stem", "start_stage", "train_norms"]
    for name in options:
        if name not in known:
            raise InputError(
                f"adapters of kind {kind!r} have no option {name!r} (model.backbone.adapters); "
                f"{closest(name, known + common) or f'they have {known + common}'}"
            )


def _chosen(found: Survey, kind: str, cls: type, wanted, stem: bool, start_stage: int, where: str) -> list[Site]:
    """The target layers that get an adapter. Layers selected by name or pattern must fit the kind."""
    if wanted is None:
        wanted = cls.default_roles
    elif isinstance(wanted, str):
        wanted = (wanted,)
    chosen = {}
    for entry in (*wanted, *(("stem",) if stem else ())):
        by_role = entry in ROLES
        matching = [
            site
            for site in found.sites
            if site.role == entry or fnmatchcase(site.name, entry) or fnmatchcase(site.name, f"{entry}.*")
        ]
        if not by_role and not matching:
            raise InputError(
                f"the pattern {entry!r} in model.backbone.adapters.sites matches no target layer of {where}; "
                f"{closest(entry, [*ROLES, *(site.name for site in found.sites)])} Roles: "
                f"{sorted(ROLES)}."
            )
        for site in matching:
            if kind not in site.fits:
                if by_role and entry in cls.default_roles:
                    continue
                raise InputError(
                    f"{kind!r} does not fit the layer {site.name} of {where} (role {site.role}, selected "
                    f"by {entry!r} in model.backbone.adapters): {site.reasons[kind]}."
                )
            if site.stage >= start_stage:
                chosen[site.name] = site
    if not chosen:
        fitting = Counter(site.role for site in found.sites if kind in site.fits and site.stage >= start_stage)
        raise InputError(
            f"{list(wanted)} (model.backbone.adapters.sites) selects no target layer of {where} for adapters of "
            f"kind {kind!r} from stage {start_stage} on. Roles that fit there, with the number of layers: "
            f"{dict(fitting) or 'none'}."
        )
    return [site for site in found.sites if site.name in chosen]


def _place_constant(site: Site, base: nn.Module, body: nn.Module, gained: Tensor, changed: dict) -> str | None:
    """Add a constant to a layer's output by its bias, or by the running mean of the BatchNorm that follows."""
    if getattr(base, "bias", None) is not None:
        changed[f"{site.name}.bias"] = float64_of(base.bias.detach()) + gained
        return None
    norm = body.get_submodule(site.norm) if site.norm is not None else None
    if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.track_running_stats and not norm.training:
        changed[f"{site.norm}.running_mean"] = float64_of(norm.running_mean) - gained
        return None
    return (
        "the adapter's norm adds a constant, and the layer has neither a bias nor a following BatchNorm in eval "
        "mode to absorb it"
    )
