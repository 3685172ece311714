"""The contract of a backbone source: backbones, classifiers and pretrained weights of one library, under one name.

A source is one class, registered in :data:`frozen_det.registry.BACKBONE_SOURCES` under the name that configs write
(``body=dict(type=NAME, name=...)``, ``weights='NAME:TAG'``) and that begins the names of its architectures
(``NAME/resnet50``). Nothing outside the class knows the name.
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
from ...weights.host_guard import reading_safely
from .base import Body, Preprocess
from .classifier import Network


class BackboneSource:
    """Where backbones come from. A subclass implements what its library has.

    Args:
        name: under which it is registered.

    Attributes:
        names_body: whether ``body.type`` may be its name; the config then has ``name`` and the library's own options.
        names_weights: whether ``weights`` may be its name, alone or before a colon and a tag.
        weights_form: how its weights are written, for messages that list the known forms; empty: not listed.
        preprocess: what its weights expect of the input of another library's backbone that says nothing itself.
    """

    names_body = True
    names_weights = True
    weights_form = ""
    preprocess: Preprocess | None = None

    def __init__(self, name: str):
        self.name = name

    def build(self, name: str, options: dict, strides: Sequence[int]) -> Body:
        """A backbone with random weights, and the features that it gives.

        Args:
            name: of the model; of a source that `body.type` does not name, the type.
            options: the other keys of the config.
            strides: wanted, ascending.

        Raises:
            InputError: an unknown name, or a stride that the model does not have.
        """
        raise InputError(f"{self.name} has no backbones (model.backbone.body.type); give one of {body_types()}.")

    def names(self) -> list[str]:
        """The models that it has, as :meth:`build` takes them."""
        return []

    def strides(self, name: str, options: dict) -> tuple[int | None, ...]:
        """Stride of each feature in order of running, None for one that is no map of the image; arguments as above."""
        raise InputError(f"{self.name} has no backbones (model.backbone.body.type); give one of {body_types()}.")

    def classifier(self, name: str, options: dict, num_classes: int) -> Network:
        """A whole classifier with random weights.

        Raises:
            InputError: an unknown name, an option that the library does not take, no classifiers here.
        """
        raise InputError(f"{self.name} has no classifiers to train (model.backbone.type); give one of {body_types()}.")

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        """The tensors that ``weights='NAME:TAG'`` stands for, under the library's names.

        Args:
            body_cfg: the config of the backbone that they are for.
            tag: behind the colon; empty without.

        Raises:
            InputError: another source's backbone, an unknown tag, or weights that cannot be fetched.
        """
        raise InputError(f"{self.name} has no weights to load (model.backbone.weights); give a file.")

    def weights_file(self, tag: str) -> Path | None:
        """The local file that ``weights='NAME:TAG'`` stands for; None where it is no file."""
        return None

    def licence(self, architecture: str, tag: str) -> str | None:
        """What is stated about the weights of an architecture (``NAME/resnet50``); None where nothing is."""
        return None

    def body_of(self, name: str) -> dict | None:
        """The config of an architecture as cards name it; None where the name does not say enough."""
        return dict(type=self.name, name=name)

    def fit_state(self, module: nn.Module, state: dict[str, Tensor], where: str) -> dict[str, Tensor]:
        """A file's tensors under the names of `module`, where the library itself knows how to rename them.

        Args:
            module: what is to be filled.
            state: the file's tensors.
            where: the file, for messages.

        Raises:
            InputError: tensors that must not go into this module.
        """
        return state

    def first_difference(self, name: str, other: str) -> str | None:
        """What tells two architectures with the same tensors apart, in words; None if nothing does, or is known to."""
        return None

    def version(self) -> str:
        """Version of the library, for weights cards: of the module of this name, else of the source's own package."""
        found = importlib.util.find_spec(self.name.replace("-", "_"))
        package = type(self).__module__.partition(".")[0]
        module = sys.modules.get(package) if found is None else importlib.import_module(found.name)
        return str(getattr(module, "__version__", "unknown"))

    def require_own(self, body_cfg: dict) -> None:
        """Raise for weights of this source on another source's backbone.

        Raises:
            InputError: it is another's.
        """
        if body_cfg.get("type") != self.name:
            article = "an" if self.name[:1] in "aeiou" else "a"
            raise InputError(
                f"weights={self.name!r} fits {article} {self.name} body, got model.backbone.body={body_cfg}."
            )


def source_named(name: str) -> BackboneSource | None:
    """The source that is registered under a name; None if none is."""
    BACKBONE_SOURCES.import_from_location()
    found = BACKBONE_SOURCES.module_dict.get(name)
    return None if found is None else found(name)


def list_backbones(source: str = "timm", pattern: str = "*") -> list[str]:
    """Names of the models that can be backbones.

    Args:
        source: ``timm``, ``torchvision``, ``mmdet``, ``frozen_det`` (own networks), or one that a plugin registers.
        pattern: shell pattern that the whole name must match, e.g. ``convnext*``.

    Returns:
        sorted names: of timm, torchvision and plugins what ``body=dict(type=SOURCE, name=NAME)`` takes, of mmdet and
        frozen_det the ``type`` itself. What was measured of them stands in docs/backbones.md.

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
    """The names of sources that ``body.type`` may be, beside the types that are registered in mmdet."""
    return [one.name for one in _sources() if one.names_body]


def weights_forms() -> list[str]:
    """How weights of the sources are written, for messages."""
    return [one.weights_form for one in _sources() if one.weights_form]


def source_of_type(kind) -> BackboneSource:
    """The source of a backbone's type: the one that it names, else that of types in the registries."""
    found = source_named(kind) if isinstance(kind, str) else None
    if found is not None and found.names_body:
        return found
    return source_named("frozen_det" if str(kind).startswith("frozen_det.") else "mmdet")


def source_of_weights(weights: str) -> tuple[BackboneSource, str] | None:
    """(source, tag) of weights that name a source, as ``timm:a1_in1k`` does; None for those that do not."""
    head, _, tag = weights.partition(":")
    found = source_named(head)
    return (found, tag) if found is not None and found.names_weights else None


def source_of_architecture(architecture: str) -> tuple[BackboneSource | None, str]:
    """(source, name) of an architecture as cards name it, as ``timm/resnet50``; None for a source that is not here."""
    library, _, name = architecture.partition("/")
    return source_named(library), name


@contextmanager
def fetching(what: str) -> Iterator[None]:
    """Read what is fetched as data; a failure becomes one line that says what to do without a network.

    Args:
        what: is fetched, for the message.

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
            f"could not fetch {what} ({type(error).__name__}: {first}). Without a network, give a file: "
            "weights='/path/to/file.safetensors', or for timm "
            "body=dict(type='timm', name=..., pretrained_cfg_overlay=dict(file=...))."
        ) from error


def _sources() -> list[BackboneSource]:
    BACKBONE_SOURCES.import_from_location()
    return [found(name) for name, found in BACKBONE_SOURCES.module_dict.items()]
