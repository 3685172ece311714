"""A backbone by one text: `timm/NAME`, `torchvision/NAME`, `package:NAME`, or the path of weights with a card."""

import os

from ...errors import InputError, closest
from ...models.backbone_sources.build import body_strides
from ...models.backbone_sources.provenance import body_of_weights
from ...models.backbone_sources.source import body_types, list_backbones, source_named
from ...models.backbone_sources.weights import weights_file

_FORMS = "timm/NAME or timm/NAME.TAG, torchvision/NAME, package:NAME, or a file or work directory of a trained backbone"


class NoWeightsError(InputError):
    """A network for which its library has no pretrained weights, and none were given."""


def network_of(text: str, weights: str | None) -> tuple[dict, str]:
    """The network and its weights.

    Args:
        text: as in this module's first line.
        weights: as of :class:`frozen_det.FrozenBackbone`; None takes the library's pretrained ones, or the file's.

    Returns:
        ``body`` and ``weights`` of a FrozenBackbone.

    Raises:
        NoWeightsError: a network whose library has no weights for it.
        InputError: an unknown network, a file without a card.
    """
    head, slash, name = str(text).partition("/")
    source = source_named(head) if slash and name and head else None
    if source is not None and source.names_body:
        body = dict(type=head, name=name)
        body_strides(body)  # refuses an unknown name, with the closest
        if weights is None:
            weights = _pretrained(source, name, text)
        return body, existing(weights)
    if source is not None:
        raise InputError(
            f"expected --backbone as {_FORMS}, got {text!r}: networks of {head} need options. Write them in a config: "
            f"model.detector.backbone.body=dict(type={name.split('.')[0]!r}, ...)."
        )
    if os.path.exists(os.path.expanduser(text)) or text.startswith("package:"):
        if weights is not None:
            raise InputError(
                f"expected either a file in --backbone, whose weights are taken, or --weights, got {text!r} and "
                f"{weights!r}. Name the network in --backbone, as timm/resnet50, and its file in --weights."
            )
        return body_of_weights(text), text
    near = [f"{kind}/{one}" for kind in body_types() for one in _near(kind, text)]
    raise InputError(
        f"expected --backbone as {_FORMS}, got {text!r}, which is no path either"
        + (f"; did you mean {', '.join(near[:3])}?" if near else f"; {closest(head, body_types())}".rstrip("; "))
    )


def _near(kind: str, text: str) -> list[str]:
    """The names of a source that a text without one, or with a misspelt one, may mean."""
    from difflib import get_close_matches

    name = text.rpartition("/")[2].partition(".")[0]
    tag = text.rpartition("/")[2].removeprefix(name)
    known = list_backbones(kind)
    if name in known:
        return [name + (tag if kind == "timm" else "")]
    return get_close_matches(name, known, n=1, cutoff=0.8)


def _pretrained(source, name: str, text: str) -> str:
    if source.names_weights and source.has_pretrained(name):
        return source.name
    raise NoWeightsError(
        f"expected weights for --backbone {text}, for which {source.name} has none. Give a file by --weights FILE, or "
        "--weights random if you mean it."
    )


def existing(weights: str) -> str:
    """Weights as given.

    Raises:
        InputError: a file that is not there, before anything starts.
    """
    path = weights_file(weights)
    if path is not None and not os.path.exists(path):
        raise InputError(f"expected weights in --weights, but there is no {path}.")
    return weights
