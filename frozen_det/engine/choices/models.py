"""Entries of a config for another detector, another backbone and adapters.

The backbone stays where the detector changes, with its weights, its freezing and its adapters; the detector stays where
the backbone changes. Levels that a plain vision transformer lacks are made by ViTDet's pyramid.
"""

import os

from ...errors import InputError, closest
from ...models.backbone_sources.build import body_strides
from ...models.detectors.swapping import swap_backbone
from ...models.detectors.wrapping import is_wrapped
from ...registry import ADAPTERS

_NONE = "none"
_PLACE = "model.detector.backbone"
_WRAP = "Wrap the model: model=dict(_delete_=True, type='frozen_det.Detector', detector={{_base_.model}})."


def model_entries(cfg, choices, config: str) -> tuple[dict, dict[str, str]]:
    """The entries, and words for one that is too long to be printed.

    Args:
        cfg: the config.
        choices: :class:`.choices.Choices`.
        config: its name, for messages.

    Raises:
        InputError: a config whose model is not a frozen detector; names that are not known.
    """
    model = cfg.get("model") or {}
    if not hasattr(model.get("detector"), "items"):
        return _of_a_classifier(model, choices, config), {}
    place = "model.backbone" if model.get("backbone") else _PLACE
    own = model.get("backbone") or model.detector.get("backbone")
    if not hasattr(own, "items") or not is_wrapped(own):
        raise _refusal(config, f"{place} of type frozen_det.FrozenBackbone", f"{(own or {}).get('type')}", _WRAP)
    own = own.to_dict()
    changes = _changes(own, choices)
    if choices.detector is None and ("body" not in changes or _fits(changes["body"], own)):
        return {f"{place}.{key}": value for key, value in changes.items()}, {}
    backbone = {key: value for key, value in {**own, **changes}.items() if key != "strides"}
    for key in ("body", "adapters"):
        if hasattr(backbone.get(key), "items"):
            backbone[key] = {name: value for name, value in backbone[key].items() if name != "_delete_"}
    if choices.detector is None and place == "model.backbone" and "strides" not in own:  # made when it is built
        return {f"{place}.{key}": value for key, value in changes.items()}, {}
    if choices.detector is None:
        return _with_pyramid(model, backbone, changes, place, config)
    return _other_detector(cfg, model, backbone, choices, own)


def _changes(own: dict, choices) -> dict:
    """What differs in the FrozenBackbone's own entries."""
    from .backbones import existing, network_of

    changes: dict = {}
    if choices.backbone is not None:
        body, weights = network_of(choices.backbone, choices.weights)
        if dict(own.get("body") or {}) != body:
            changes["body"] = {"_delete_": True, **body}
        if "body" in changes or weights == choices.backbone:  # of a file, those are meant that are in it
            changes["weights"] = weights
    if choices.weights is not None:
        changes["weights"] = existing(choices.weights)
    if choices.adapters is not None:
        changes["adapters"] = _adapters(choices.adapters, own)
    return changes


def _adapters(name: str, own: dict):
    ADAPTERS.import_from_location()
    known = sorted(ADAPTERS.module_dict)
    if str(name).lower() == _NONE:
        return None
    if name not in known:
        alias = "did you mean 'series'?" if name.startswith("seq") else closest(name, known)
        raise InputError(
            f"expected adapters of {', '.join(known)} or {_NONE} in --adapters, got {name!r}; {alias}".rstrip("; ")
        )
    held = own.get("adapters") or {}
    return {"type": name} if held.get("type", name) == name else {"_delete_": True, "type": name}


def _fits(body: dict, own: dict) -> bool:
    strides = own.get("strides", (4, 8, 16, 32))
    return set(strides) <= set(body_strides({key: value for key, value in body.items() if key != "_delete_"}))


def _with_pyramid(model, backbone: dict, changes: dict, place: str, config: str) -> tuple[dict, dict[str, str]]:
    """Another network that lacks strides: one level becomes a pyramid, any other is refused."""
    found = body_strides(backbone["body"])
    wanted = (model.get("backbone") or model.detector["backbone"]).get("strides", (4, 8, 16, 32))
    if len(found) > 1:
        raise InputError(
            f"expected features at strides {tuple(wanted)} ({place}.strides of {config}), but "
            f"{backbone['body'].get('name')} of --backbone has {found}. Take another, or choose some of these by "
            f"--cfg-options {place}.strides."
        )
    swapped = swap_backbone({**model.detector.to_dict()}, backbone)
    return {
        **{f"{place}.{key}": value for key, value in changes.items()},
        f"{place}.strides": found,
        "model.detector.neck": swapped["neck"],
    }, {"model.detector.neck": f"{' and then '.join(str(one['type']) for one in swapped['neck'])}"}


def _other_detector(cfg, model, backbone: dict, choices, own: dict) -> tuple[dict, dict[str, str]]:
    from .detectors import decoder_named

    decoder = decoder_named(choices.detector)
    given = {**decoder.model, "backbone": decoder.model.get("backbone") or own}
    detector = swap_backbone(given, backbone)
    found, wanted = body_strides(detector["backbone"]["body"]), detector["backbone"]["strides"]
    if not set(wanted) <= set(found):
        raise InputError(
            f"expected features at strides {tuple(wanted)}, which {choices.detector} takes, but "
            f"{detector['backbone']['body'].get('name')} has {found}. Take another backbone, as --backbone "
            "timm/resnet50.a1_in1k."
        )
    entries = {"model.detector": {"_delete_": True, **detector}, **_masks(cfg, decoder.masks), **decoder.training}
    if model.get("backbone"):
        entries["model.backbone"] = None
    return entries, {"model.detector": f"the {detector['type']} of {decoder.origin} on {_said(detector['backbone'])}"}


def _said(backbone: dict) -> str:
    body, adapters = backbone["body"], backbone.get("adapters")
    network = f"{body['type']}/{body['name']}" if "name" in body else str(body["type"])
    return f"{network}, weights {backbone['weights']}" + (f", adapters {adapters['type']}" if adapters else "")


def _masks(cfg, masks: bool) -> dict:
    """Entries that let the data and the metrics have masks, or not."""
    entries = {}
    steps = ((cfg.get("train_dataloader") or {}).get("dataset") or {}).get("pipeline") or ()
    # Copy-Paste cuts by masks, whatever the detector learns.
    pastes = any(str(step.get("type")).endswith("CopyPaste") for step in steps)
    for number, step in enumerate(() if pastes and not masks else steps):
        kind = str(step.get("type"))
        loads = step.get("with_mask", not kind.endswith("LoadAnnotations"))
        if kind.endswith(("LoadAnnotations", "LargeScaleJitter")) and bool(loads) != masks:
            entries[f"train_dataloader.dataset.pipeline.{number}.with_mask"] = masks
    metric = (cfg.get("val_evaluator") or {}).get("metric") if hasattr(cfg.get("val_evaluator"), "get") else None
    named = [metric] if isinstance(metric, str) else list(metric or ())
    if named and ("segm" in named) != masks:
        entries["val_evaluator.metric"] = ["bbox", "segm"] if masks else "bbox"
    return entries


def _of_a_classifier(model, choices, config: str) -> dict:
    if not str(model.get("type")).endswith("Classifier") or not hasattr(model.get("backbone"), "items"):
        remedy = _WRAP if model else "It is made of several configs: change these."
        raise _refusal(config, "a frozen detector (model.type frozen_det.Detector)", str(model.get("type")), remedy)
    for name in ("detector", "adapters"):
        if getattr(choices, name) is not None:
            raise _refusal(config, "a detector", f"the classifier {model.type}", f"Leave --{name} out.")
    from .backbones import network_of

    entries: dict = {}
    held, weights = model.get("weights"), choices.weights
    if choices.backbone is not None:
        # A recipe that begins at random weights does so with any network, but with a file's, which is meant.
        from_scratch = held is None and weights is None and not os.path.exists(os.path.expanduser(choices.backbone))
        body, weights = network_of(choices.backbone, "random" if from_scratch else weights)
        entries["model.backbone"] = {"_delete_": True, **body}
        if from_scratch:
            return entries
    if weights is not None:
        # Classes of another network are not the data's: its head is new, as a config says that fine-tunes.
        new = weights != "random" and (choices.backbone is not None or hasattr(held, "items"))
        entries["model.weights"] = {"_delete_": True, "path": weights, "head": "new"} if new else weights
    return entries


def _refusal(config: str, expected: str, got: str, remedy: str) -> InputError:
    return InputError(
        f"expected {expected} in {config}, which --detector, --backbone, --weights and --adapters change, got {got}. "
        f"{remedy}"
    )
