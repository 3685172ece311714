"""Pretrained weights of a whole classifier, loaded strictly: all of it, or all but a head that is replaced on request.

Refuses a head of another number of classes unless ``head='new'`` says that it is to be replaced.
"""

from torch import nn

from ..errors import InputError
from ..models.backbone_sources.base import Body
from ..models.backbone_sources.classifier import Network
from ..models.backbone_sources.weights import form_of, load_weights, tensors_of
from ..weights.loading import LoadReport

HEADS = ("keep", "new")


def load_classifier(network: Network, backbone: dict, weights, num_classes: int) -> LoadReport:
    """Fill a classifier.

    Args:
        network: from :func:`frozen_det.models.backbone_sources.build.build_network`.
        backbone: the config it was built from.
        weights: a form that ``FrozenBackbone`` takes, or ``dict(path=<such a form>, head='new')`` to load all but the
            head, which then stays as it was initialised.
        num_classes: of the classifier, for messages.

    Returns:
        What was loaded.

    Raises:
        InputError: the source cannot be reached, or does not fit.
    """
    source, head = split_head(weights)
    module = _WithoutHead(network.module, network.head_names) if head == "new" else network.module
    body = Body(module, (), (), None, network.architecture, network.head_names, network.preprocess)
    try:
        return load_weights(body, backbone, source)
    except InputError as error:
        stated = None if head == "new" else _other_classes(network, body, backbone, source)
        if stated is None:
            raise
        raise InputError(
            f"expected a head of {num_classes} classes (model.num_classes) in {source}, got one of "
            f"{stated}. To train a new head on these weights: model.weights=dict(path={source!r}, "
            "head='new')."
        ) from error


def split_head(weights) -> tuple[object, str]:
    """(the form that strict loading takes, ``keep`` or ``new``).

    Raises:
        InputError: an unknown value for the head, or a dict without `path`.
    """
    if not isinstance(weights, dict):
        return weights, "keep"
    rest = dict(weights)
    head = rest.pop("head", "keep")
    if head not in HEADS or "path" not in rest or set(rest) - {"path", "key", "prefix"}:
        raise InputError(
            f"expected model.weights=dict(path=..., head='keep' or 'new', key=..., prefix=...), got {dict(weights)}."
        )
    return (rest if form_of(rest).is_part else rest["path"]), head


def _other_classes(network: Network, body: Body, backbone: dict, source) -> int | None:
    """The number of classes of the file's head, if the file has one of another number; None otherwise."""
    wanted = network.module.state_dict()
    try:
        tensors = tensors_of(body, backbone, source).tensors
    except InputError:
        return None
    for name in network.head_names:
        for key, value in tensors.items():
            same = key == name or key.endswith(f".{name}")
            if same and value.shape != wanted[name].shape and value.shape[1:] == wanted[name].shape[1:]:
                return int(value.shape[0])
    return None


class _WithoutHead:
    """A classifier as strict loading sees it when its head stays as it is."""

    def __init__(self, module: nn.Module, head_names: frozenset[str]):
        self._module, self._head = module, head_names

    def state_dict(self) -> dict:
        return {name: value for name, value in self._module.state_dict().items() if name not in self._head}

    def load_state_dict(self, state: dict, strict: bool = True) -> None:
        kept = {name: value for name, value in self._module.state_dict().items() if name in self._head}
        self._module.load_state_dict({**state, **kept}, strict=strict)
