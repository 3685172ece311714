"""`frozen_det.FrozenBackbone`: any pretrained network as an mmdet backbone, frozen from construction on.

Frozen weights are loaded completely or not at all. No call of mmengine (``init_weights``, ``train()``, non-strict
checkpoint loading) changes them. State dict keys are those of the wrapped network, prefixed with ``backbone.body.``.
It raises if forward() is called before weights are loaded, unless ``weights='random'`` was set.
"""

import copy
from collections.abc import Sequence
from functools import partial

from mmengine.logging import print_log
from torch import Tensor, nn

from ...errors import InputError
from ...host.signatures import argument_of
from ...registry import MODELS
from ...weights.digest import BASE_DIGEST, Fingerprint, fingerprint
from ...weights.key_fitting import adopt_plain_names
from ...weights.lean import digest_from_bytes
from ..backbone_sources.build import build_body, pretrained_of
from ..backbone_sources.provenance import body_of_weights
from ..backbone_sources.weights import known_forms, load_weights
from .checkpoint_filling import holds_all
from .description import is_described
from .forward_options import ForwardSwitches, FrozenForward
from .freezing import FrozenPart, frozen_part, set_norm_momentum
from .settings_record import BodyRecord, body_record
from .sync_bn import guard_host_sync_bn


@MODELS.register_module()
class FrozenBackbone(nn.Module):
    """A pretrained classifier without its head, as a detection backbone.

    Args:
        body: the network to wrap: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)`` or the
            config of any mmdet backbone. Other keys are passed to the library. None: the network named in the card of
            `weights`.
        weights: source of the weights: ``'timm'``, ``'torchvision'``, ``'package:NAME'``, a file, the work
            directory of a trained classifier, or ``'random'``. Required.
        strides: strides of the feature maps passed to the neck, ascending.
        freeze: True (all), False (fine-tune), a number of stages, or a list of name patterns, among which ``"norms"``
            is all normalisation layers.
        adapters: config of residual adapters, e.g. ``dict(type='parallel')``; None for none.
        forward: options of the frozen forward pass, e.g. ``dict(memory_format='channels_last', autocast='bfloat16',
            fold_norms=True, compile=True)``, see :class:`.forward_options.ForwardSwitches`; None for plain eager. A
            partly trained backbone accepts `memory_format` only.
        norm_momentum: momentum of every BatchNorm in the backbone, for norms that train; None keeps the library's
            (0.1). TensorFlow's 0.997 and 0.99 are 0.003 and 0.01 here.

    Attributes:
        strides, channels: of the feature maps.
        source: where the loaded weights came from; None before loading.
        shared: a :class:`.shared_features.SharedFeatures` that shares tensors and features with others, or None.
        stored: features on disk, see :func:`.stored_features.read_features_from`; None for none.

    Raises:
        InputError: unknown network, stride, weights, pattern or option.
    """

    def __init__(
        self,
        body: dict | None = None,
        weights: str | dict | None = None,
        strides: Sequence[int] = (4, 8, 16, 32),
        freeze: bool | int | Sequence[str] = True,
        adapters: dict | None = None,
        forward: dict | None = None,
        norm_momentum: float | None = None,
    ):
        super().__init__()
        MODELS.import_from_location()  # so that a Runner checks what it loads, however this was built
        guard_host_sync_bn()
        body = body if body is not None else body_of_weights(weights)
        self.body_cfg = {k: v for k, v in dict(body).items() if k != "init_cfg"}
        self.weights = weights if weights is not None else pretrained_of(body)
        if is_described():
            self.weights = "random"
        if self.weights is None:
            raise InputError(
                "expected model.backbone.weights, got none: a frozen backbone with random weights gives "
                f"meaningless features. Known forms: {known_forms()}."
            )
        self._frozen_forward = FrozenForward(ForwardSwitches.parse(forward))
        built = build_body(body, strides)
        self._built = built
        self._part = FrozenPart(frozenset(), ())
        self.body = built.module
        set_norm_momentum(self.body, norm_momentum)
        self.strides, self.channels = built.strides, built.channels
        self.source = "random" if self.weights == "random" else None
        # Digests of the frozen tensors as last loaded, and as `weights` provides them; compared with later states.
        self._loaded: Fingerprint | None = None
        self._attachable: Fingerprint | None = None
        self.adapters = None
        self.shared = self.stored = None
        self._set_part(frozen_part(built.module, built.extract, len(built.strides), freeze))
        if self.is_frozen and built.maps_in_training > 1:
            raise InputError(
                f"expected a backbone with the same outputs in train and eval mode (a frozen one stays in "
                f"eval), but {built.architecture} returns {built.maps_in_training} maps per image in train "
                "mode only. For TridentNet set test_branch_idx=-1 in the "
                "backbone (model.backbone.body) and in roi_head."
            )
        if adapters is not None:
            from ..adapters import attach_adapters
            from .bn_memory import release_norm_inputs

            self.adapters = attach_adapters(self.body, adapters, built)
            self._set_part(self._part.training(self.adapters.trained_norms))
            release_norm_inputs(self.body)
        self._require_wholly_frozen(self._frozen_forward.switches.frozen_only)
        self._as_built = self._record()
        self.train(self.training)

    # -- weights ------------------------------------------------------------------------------------------------

    def init_weights(self) -> None:
        """Load the weights if none are loaded yet. mmengine calls this before training."""
        if self.source is not None:
            return
        report = load_weights(self._built, self.body_cfg, self.weights)
        self.source = str(self.weights)
        self._loaded = self._attachable = self.frozen_fingerprint()
        found = f"{report} from {self.source}; {self.frozen_summary()}"
        print_log(f"backbone {self._built.architecture}: {found}", logger="current")

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Check a detector's checkpoint, strict or not: it holds the whole frozen backbone or none of it."""
        self._leave_shared()
        wanted = self.body.state_dict()
        base = f"{prefix}body."
        if self.adapters is not None and self.adapters.merged:
            raise InputError(
                "expected unmerged adapters to load a checkpoint into; call unmerge() on the backbone first."
            )
        digest = state_dict.pop(f"{prefix}{BASE_DIGEST}", None)
        if digest is not None:
            # The file omits what was frozen when it was written; some of that may be trainable now.
            absent = [name for name in wanted if base + name not in state_dict]
            attached = self._attach_base(absent, digest_from_bytes(digest))
            state_dict.update({base + name: value for name, value in attached.items()})
        if not any(key.startswith(base) for key in state_dict):
            adopt_plain_names(state_dict, prefix, wanted)
        if holds_all(state_dict, base, wanted, self._built.architecture if self._part.parameters else None):
            self.source = "checkpoint"
            # Child modules load after this call, so the digest is taken from the checkpoint's tensors.
            self._loaded = fingerprint(
                {name: state_dict[base + name].to(wanted[name].dtype) for name in self.frozen_tensors()}
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _attach_base(self, names: Sequence[str], digest: str) -> dict[str, Tensor]:
        """Load the frozen base that a lean checkpoint omits from `weights`; refuse one with another digest."""
        self.init_weights()
        entries = self.body.state_dict()
        base = {name: entries[name] for name in names}
        mine = fingerprint(base).digest
        if mine != digest:
            raise InputError(
                f"this lean checkpoint was trained on a base with sha256 {digest[:12]}, but the base loaded "
                f"({self._built.architecture} from {self.weights}) has {mine[:12]}. Set model.backbone.weights and "
                "`freeze` to the values of that training."
            )
        return base

    def describe_weights(self):
        """The :class:`frozen_det.weights.card.WeightsCard` of the loaded weights, without a digest."""
        from ..backbone_sources.provenance import describe_weights

        return describe_weights(self._built, self.weights)

    # -- frozen -------------------------------------------------------------------------------------------------

    @property
    def architecture(self) -> str:
        """Library and name of the wrapped network, e.g. ``timm/resnet50``."""
        return self._built.architecture

    @property
    def switches(self) -> ForwardSwitches:
        """Options of the frozen forward pass."""
        return self._frozen_forward.switches

    @property
    def is_wholly_frozen(self) -> bool:
        """Whether nothing in the backbone trains: no parameter, no adapter."""
        return self._part.whole and self.adapters is None

    @property
    def is_frozen(self) -> bool:
        """Whether any parameter is frozen."""
        return bool(self._part.parameters)

    def train(self, mode: bool = True):
        """Set the mode of the trainable part; the frozen part stays in eval."""
        super().train(mode)
        for name in self._part.modules:
            self.body.get_submodule(name).eval()
        for name in self._part.trained:
            self.body.get_submodule(name).train(mode)
        return self

    def __getattr__(self, name: str):
        """Fall back to settings of the wrapped network that some detectors read (`num_branch`)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            body = self.__dict__.get("_modules", {}).get("body")
            value = body.__dict__.get(name) if body is not None and argument_of(type(body), name) else None
            if not isinstance(value, (int, float, str)):
                raise
            return value

    def __deepcopy__(self, memo: dict) -> "FrozenBackbone":
        """Copy and restore train/eval modes: deepcopy of an fx.GraphModule resets it to train mode."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        parts = dict(copied.named_modules())
        for name, part in self.named_modules():
            parts[name].training = part.training
            for graph in ("train_graph", "eval_graph"):  # torch < 2.2 drops them when copying a traced module
                if graph in part.__dict__ and graph not in parts[name].__dict__:
                    parts[name].__dict__[graph] = copy.deepcopy(part.__dict__[graph], memo)
        return copied

    def unfreeze(self, what=True) -> list[str]:
        """Make frozen parameters trainable.

        Args:
            what: True for all of them, or a list of name patterns as in `freeze`.

        Returns:
            names of the newly trainable parameters, as in the wrapped network.

        Raises:
            InputError: nothing matches, or no match is frozen.
        """
        before = self._part.parameters
        self._leave_shared()
        self._set_part(self._part.without(self.body, what))
        self.train(self.training)
        ended = self._frozen_forward.switches.frozen_only
        if ended:
            print_log(
                f"backbone {self.architecture}: no longer wholly frozen, so model.backbone.forward is used without "
                f"{', '.join(ended)}",
                logger="current",
            )
        return [name for name, _ in self.body.named_parameters() if name in before - self._part.parameters]

    def _set_part(self, part: FrozenPart) -> None:
        """Freeze `part` and release the rest; parameters never frozen keep the library's requires_grad."""
        for name, parameter in self.body.named_parameters():
            if name in part.parameters:
                parameter.requires_grad_(False)
            elif name in self._part.parameters:
                parameter.requires_grad_(True)
        self._part = part
        self._frozen_forward.reset()

    def frozen_tensors(self) -> dict[str, Tensor]:
        """The frozen entries of the wrapped network's state dict (parameters and buffers), by name.

        While adapters are merged, the entries they changed are given with their original values.
        """
        originals = {} if self.adapters is None else self.adapters.originals()
        return {
            name: originals.get(name, value)
            for name, value in self.body.state_dict().items()
            if self._part.covers(name)
        }

    def frozen_fingerprint(self) -> Fingerprint:
        """Digest of :meth:`frozen_tensors`."""
        return fingerprint(self.frozen_tensors())

    def moved_since_load(self, now: Fingerprint | None = None) -> str | None:
        """Name of the first frozen tensor that differs from the loaded one, or None; `now` avoids a new digest."""
        return self._loaded and self._loaded.first_difference_of(now or self.frozen_fingerprint())

    def changed_since_built(self) -> str | None:
        """Description of the first setting or non-persistent buffer that changed since construction, or None."""
        return self._as_built.changed(self._record())

    def hooks_since_built(self) -> list[str]:
        """Forward hooks added to the frozen part since construction; they may change its features."""
        return self._as_built.new_hooks(self._record())

    def is_attachable(self, now: Fingerprint) -> bool:
        """Whether the frozen part, with the digest `now`, can be loaded again from `weights`."""
        return self._attachable is not None and self._attachable.agrees_on(now)

    def _record(self) -> BodyRecord:
        """Settings of the frozen modules."""
        return body_record(self.body, {name for name, _ in self.body.named_modules() if self._part.holds(name)}, self)

    def frozen_summary(self) -> str:
        """One line with the number of frozen parameters and buffers."""
        tensors = self.frozen_tensors()
        names = {name for name, _ in self.body.named_parameters()}
        count = sum(value.numel() for name, value in tensors.items() if name in names)
        buffers = sum(name not in names for name in tensors)
        text = f"frozen: {count / 1e6:.2f} M parameters, {buffers} buffers" if tensors else "nothing frozen"
        if self.adapters is not None:
            text += f"; {self.adapters.summary()}"
        return text

    # -- adapters -----------------------------------------------------------------------------------------------

    def sites(self) -> list:
        """All layers that can take an adapter, as :class:`frozen_det.models.adapters.Site`."""
        from ..adapters import list_sites

        return list_sites(self._built) if self.adapters is None else list(self.adapters.all_sites)

    def merge(self) -> None:
        """Fold the adapters into the weights, for inference; the original weights are kept for :meth:`unmerge`.

        The state dict then has the keys of the plain network, without adapters.

        Raises:
            InputError: no adapters, or one that cannot be merged (nothing is changed in that case).
        """
        if self.adapters is None:
            raise InputError("expected a backbone with adapters to merge, got one without (model.backbone.adapters).")
        self._leave_shared()
        self.adapters.merge(self.body)

    def unmerge(self) -> None:
        """Restore the original weights bit by bit; the adapters run separately again."""
        if self.adapters is not None:
            self.adapters.unmerge(self.body)

    # -- forward ------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One feature map per stride.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            one (N, C_i, H / stride_i, W / stride_i) per stride; without autograd history if wholly frozen.

        Raises:
            InputError: no weights are loaded, or the images are not RGB.
        """
        if self.source is None:
            raise InputError(
                f"expected a backbone with weights, but nothing was loaded into {self._built.architecture}. Call "
                "model.init_weights() (training does), load a checkpoint that contains the backbone, or set "
                "weights='random' in model.backbone."
            )
        if images.shape[1] != 3:
            raise InputError(
                f"expected RGB images with three channels, got {tuple(images.shape)} (N, C, H, W); "
                "load them as RGB (color_type='color' in LoadImageFromFile)."
            )
        merged = self.adapters is not None and self.adapters.merged
        if merged and self.training:
            raise InputError("expected unmerged adapters in training; call unmerge() on the backbone first.")
        run = self._whole_features if self._part.whole and (self.adapters is None or merged) else self._features
        return run(images) if self.shared is None or merged else self.shared.features(self, images, run)

    def _whole_features(self, images: Tensor) -> tuple[Tensor, ...]:
        run = partial(self._frozen_forward, self._built)
        return run(images) if self.stored is None else self.stored(images, run)

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._built.extract(self.body, self._frozen_forward.laid_out(images)))

    def _leave_shared(self) -> None:
        self.stored = None
        if self.shared is not None:
            self.shared.leave(self)

    def plain_features(self, images: Tensor) -> tuple[Tensor, ...]:
        """:meth:`forward` without the options in `forward`; for comparisons and export."""
        switched, self._frozen_forward = self._frozen_forward, FrozenForward(ForwardSwitches())
        try:
            return self(images)
        finally:
            self._frozen_forward = switched

    def _apply(self, *args, **kwargs):
        """Move or convert, and discard the inference copy built from the previous tensors."""
        self._frozen_forward.reset()
        return super()._apply(*args, **kwargs)

    def _require_wholly_frozen(self, switches: Sequence[str]) -> None:
        if switches and (self.adapters is not None or not self._part.whole):
            what = "adapters" if self.adapters is not None else "trainable parameters"
            raise InputError(
                f"expected a wholly frozen backbone without adapters for {', '.join(switches)} in "
                f"model.backbone.forward, got {what}. Remove these options (memory_format may stay); --amp "
                "sets the precision of the whole model."
            )
