"""The interface of a backbone source: backbones, classifiers and pretrained weights of one library.

A source is a class registered in :data:`frozen_det.registry.BACKBONE_SOURCES`. Its name is used in configs
(``body=dict(type=NAME, name=...)``, ``weights='NAME:TAG'``) and as the prefix of its architectures
(``NAME/resnet50``). No other code depends on the name.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from ...errors import InputError, closest
from ...registry import BACKBONE_SOURCES
from ...weights.card import WeightsCard
from ...weights.host_guard import reading_safely
from .base import Body, Preprocess
from .classifier import Network


class BackboneSource:
    """A source of backbones. A subclass implements what its library provides.

    Args:
        name: under which it is registered.

    Attributes:
        names_body: whether ``body.type`` may be its name; the config then has ``name`` and the library's options.
        names_weights: whether ``weights`` may be its name, optionally followed by a colon and a tag.
        weights_form: how its weights are written, for messages that list the known forms; empty: not listed.
        preprocess: the input its weights expect, for backbones of other libraries that do not define it.
    """

    names_body = True
    names_weights = True
    weights_form = ""
    preprocess: Preprocess | None = None

    def __init__(self, name: str):
        self.name = name

    def build(self, name: str, options: dict, strides: Sequence[int]) -> Body:
        """A backbone with random weights, and its features.

        Args:
            name: of the model; the type if `names_body` is False.
            options: the other keys of the config.
            strides: wanted strides, ascending.

        Raises:
            InputError: an unknown name, or an unavailable stride.
        """
        raise InputError(f"{self.name} has no backbones (model.backbone.body.type); give one of {body_types()}.")

    def names(self) -> list[str]:
        """The available models, as accepted by :meth:`build`."""
        return []

    def strides(self, name: str, options: dict) -> tuple[int | None, ...]:
        """Stride of each feature in execution order, None for one that is not a map; arguments as :meth:`build`."""
        raise InputError(f"{self.name} has no backbones (model.backbone.body.type); give one of {body_types()}.")

    def classifier(self, name: str, options: dict, num_classes: int) -> Network:
        """A whole classifier with random weights.

        Raises:
            InputError: an unknown name, an option that the library does not accept, or no classifiers here.
        """
        raise InputError(f"{self.name} has no classifiers to train (model.backbone.type); give one of {body_types()}.")

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        """The tensors of ``weights='NAME:TAG'``, with the library's names.

        Args:
            body_cfg: the config of the backbone to load them into.
            tag: the part after the colon, or empty.

        Raises:
            InputError: another source's backbone, an unknown tag, or weights that cannot be fetched.
        """
        raise InputError(f"{self.name} has no weights to load (model.backbone.weights); give a file.")

    def has_pretrained(self, name: str) -> bool:
        """Whether there are pretrained weights of a model, as far as that is known without fetching them."""
        return True

    def weights_file(self, tag: str) -> Path | None:
        """The local file of ``weights='NAME:TAG'``; None if it is not a file."""
        return None

    def card(self, tag: str) -> WeightsCard | None:
        """What is known of ``weights='NAME:TAG'`` beyond its file: network and input; None for nothing."""
        return None

    def licence(self, architecture: str, tag: str) -> str | None:
        """The stated licence of the weights of an architecture (``NAME/resnet50``), or None."""
        return None

    def body_of(self, name: str) -> dict | None:
        """The config of an architecture as named in weights cards; None if the name is not enough."""
        return dict(type=self.name, name=name)

    def fit_state(self, module: nn.Module, state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        """A file's tensors, renamed to fit `module` if the library has a conversion for them.

        Args:
            module: the module to load them into.
            state: the file's tensors.
            where: the file, for messages.

        Raises:
            InputError: tensors that must not be loaded into this module.
        """
        return state

    def first_difference(self, name: str, other: str) -> str | None:
        """Description of a difference between two architectures with the same tensors; None if none is known."""
        return None

    def version(self) -> str:
        """Version of the library, for weights cards: of the module of this name, else of the source's package."""
        found = importlib.util.find_spec(self.name.replace("-", "_"))
        package = type(self).__module__.partition(".")[0]
        module = sys.modules.get(package) if found is None else importlib.import_module(found.name)
        return str(getattr(module, "__version__", "unknown"))

    def require_own(self, body_cfg: dict) -> None:
        """Raise if weights of this source are used for another source's backbone.

        Raises:
            InputError: the backbone is of another source.
        """
        if body_cfg.get("type") != self.name:
            article = "an" if self.name[:1] in "aeiou" else "a"
            raise InputError(
                f"weights={self.name!r} fits {article} {self.name} backbone, got model.backbone.body={body_cfg}."
            )


def source_named(name: str) -> BackboneSource | None:
    """The source registered under a name, or None."""
    BACKBONE_SOURCES.import_from_location()
    found = BACKBONE_SOURCES.module_dict.get(name)
    return None if found is None else found(name)


def list_backbones(source: str = "timm", pattern: str = "*") -> list[str]:
    """Names of the models that can be backbones.

    Args:
        source: ``timm``, ``torchvision``, ``mmdet``, ``frozen_det`` (own networks), or one that a plugin registers.
        pattern: shell pattern that the whole name must match, e.g. ``convnext*``.

    Returns:
        sorted names: for timm, torchvision and plugins the NAME in ``body=dict(type=SOURCE, name=NAME)``, for mmdet
        and frozen_det the ``type`` itself. Measurements are in docs/backbones.md.

    Raises:
        InputError: no such source.
    """
    found = source_named(source)
    if found is None:
        raise InputError(
            f"expected the name of a backbone source, got {source!r}; "
            f"{closest(source, BACKBONE_SOURCES.module_dict) or f'known: {sorted(BACKBONE_SOURCES.module_dict)}'}"
        )
    return sorted(name for name in found.names() if fnmatchcase(name, pattern))


def body_types() -> list[str]:
    """The names of sources allowed in ``body.type``, besides the types registered in mmdet."""
    return [one.name for one in _sources() if one.names_body]


def weights_forms() -> list[str]:
    """How weights of the sources are written, for messages."""
    return [one.weights_form for one in _sources() if one.weights_form]


def source_of_type(kind) -> BackboneSource:
    """The source of a backbone's type: the one with this name, else the one of registered types."""
    found = source_named(kind) if isinstance(kind, str) else None
    if found is not None and found.names_body:
        return found
    return source_named("frozen_det" if str(kind).startswith("frozen_det.") else "mmdet")


def source_of_weights(weights: str) -> tuple[BackboneSource, str] | None:
    """(source, tag) of weights that name a source, as in ``timm:a1_in1k``; None otherwise."""
    head, _, tag = weights.partition(":")
    found = source_named(head)
    return (found, tag) if found is not None and found.names_weights else None


def source_of_architecture(architecture: str) -> tuple[BackboneSource | None, str]:
    """(source, name) of an architecture such as ``timm/resnet50``; the source is None if unknown."""
    library, _, name = architecture.partition("/")
    return source_named(library), name


@contextmanager
def fetching(what: str, origin: str = "") -> Iterator[None]:
    """Download safely (no code is run); a failure is one error with the remedy for use without a network.

    Args:
        what: name of the download, for the message.
        origin: where the file can be fetched by other means.

    Raises:
        InputError: it could not be fetched.
    """
    try:
        with reading_safely():
            yield
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"could not fetch {what} ({type(error).__name__}: {first}). Without a network, fetch "
            f"{origin or 'the file'} elsewhere and give its path: --weights FILE, or in a config "
            "model.detector.backbone.weights='FILE'."
        ) from error


def _sources() -> list[BackboneSource]:
    BACKBONE_SOURCES.import_from_location()
    return [found(name) for name, found in BACKBONE_SOURCES.module_dict.items()]
