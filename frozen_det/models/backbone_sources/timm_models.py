"""The source `timm`: its models as backbones and classifiers, pretrained weights, and conversion of foreign files."""

import sys
from itertools import zip_longest

from torch import Tensor, nn

from ...registry import BACKBONE_SOURCES
from ...weights.key_fitting import by_order
from ...weights.known_extras import is_training_only
from ...weights.loading import read, state_dict_of
from .base import Body, on_meta
from .classifier import Network, built, changing_names
from .plain_vit import refuse_other_grid, split_options
from .source import BackboneSource, fetching
from .timm_features import require_known, timm_body, timm_preprocess, timm_strides


@BACKBONE_SOURCES.register_module(name="timm")
class TimmSource(BackboneSource):
    """Models of `timm.list_models()`; ``name.tag`` is allowed. ``weights='timm:TAG'`` loads another tag's weights."""

    weights_form = "'timm' or 'timm:TAG'"

    def names(self) -> list[str]:
        import timm

        return timm.list_models()

    def build(self, name: str, options: dict, strides) -> Body:
        return timm_body(name, options, strides)

    def strides(self, name: str, options: dict) -> tuple[int | None, ...]:
        return timm_strides(name, options)

    def classifier(self, name: str, options: dict, num_classes: int) -> Network:
        import timm

        require_known(name, "model.backbone.name")
        overlay = options.pop("pretrained_cfg_overlay", None)

        def build(count: int) -> nn.Module:
            return timm.create_model(name, pretrained=False, num_classes=count, **options)

        module = built(lambda: build(num_classes), f"timm/{name}", options)
        return Network(module, f"timm/{name}", changing_names(build, num_classes), timm_preprocess(module, overlay))

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        import timm

        self.require_own(body_cfg)
        options = split_options({k: v for k, v in body_cfg.items() if k not in ("type", "name")})[1]
        name = body_cfg["name"]
        overlay = options.get("pretrained_cfg_overlay") or {}
        if overlay.get("file"):
            return state_dict_of(read(overlay["file"]), str(overlay["file"]))
        if tag:
            name = f"{name.split('.')[0]}.{tag}"
        with fetching(f"timm's pretrained weights of {name}", _origin(name)):
            return timm.create_model(name, pretrained=True, **options).state_dict()

    def has_pretrained(self, name: str) -> bool:
        return bool(getattr(_card(name), "has_weights", False))

    def licence(self, architecture: str, tag: str) -> str | None:
        import timm

        name, _, own_tag = architecture.removeprefix("timm/").partition(".")
        tag = tag or own_tag
        return getattr(timm.models.get_pretrained_cfg(f"{name}.{tag}" if tag else name), "license", None)

    def fit_state(self, module: nn.Module, state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        """Apply timm's `checkpoint_filter_fn` of the model, if there is one.

        It converts files of DINO, MAE, CLIP and original releases.
        """
        refuse_other_grid(module, state, where)
        wanted = module.state_dict()
        rename = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
        if set(wanted) <= set(state):
            return state
        ordered = _by_order_of_the_whole(module, state)
        if ordered is not None:
            return ordered
        if rename is None:
            return state
        try:
            renamed = rename(dict(state), module)
        except Exception:
            return state  # not a file of this family; the strict loader explains what does not fit
        if sum(name in wanted for name in renamed) <= sum(name in wanted for name in state):
            return state
        # timm drops tensors used in pre-training only; here they are kept so that all unused tensors are counted.
        dropped = {name: value for name, value in state.items() if name not in wanted and is_training_only(name)}
        return {**dropped, **renamed}

    def first_difference(self, name: str, other: str) -> str | None:
        """The first line in which the models' `repr` differ; None for names that timm does not know.

        Shapes are not sufficient: `tf_efficientnet_b0` and `efficientnet_b0` share every name and shape.
        """
        import timm

        if name.split(".")[0] == other.split(".")[0] or not (timm.is_model(name) and timm.is_model(other)):
            return None
        first, second = (
            repr(on_meta(lambda one=one: timm.create_model(one, pretrained=False, num_classes=0))[0]).splitlines()
            for one in (name, other)
        )
        for ours, theirs in zip_longest(first[1:], second[1:], fillvalue="nothing"):
            if ours != theirs:
                return f"{ours.strip()!r} against {theirs.strip()!r}"
        return None


def _by_order_of_the_whole(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """A file whose names are matched by order, for a backbone without its last stages: by those of the whole one."""
    import timm

    name = (getattr(module, "pretrained_cfg", None) or {}).get("architecture")
    if "_conv_stem.weight" not in state or not timm.is_model(name or "") or by_order(state, module.state_dict()):
        return None
    return by_order(state, on_meta(lambda: timm.create_model(name, pretrained=False))[0].state_dict())


def _card(name: str):
    """timm's card of the pretrained weights of a model, or None."""
    import timm

    return timm.models.get_pretrained_cfg(name)


def _origin(name: str) -> str:
    """Where the file of a model's pretrained weights is."""
    card = _card(name)
    hub = getattr(card, "hf_hub_id", None)
    if not hub:
        return getattr(card, "url", "") or ""
    return f"{getattr(card, 'hf_hub_filename', None) or 'model.safetensors'} of https://huggingface.co/{hub}"
