"""From `import frozen_det` on, what the host reads from files is read as data: checkpoints, pickles, yaml, numpy files.

mmengine's loader falls back to unpickling anything, for every scheme (local, http, s3, torchvision, ...), and its file
handlers unpickle and build what yaml tags name. Importing this loads none of that: a finder waits, and changes a module
right after its import. Checkpoints of every scheme, also of those registered later, are fetched by their own loader and
read by :mod:`.loading`; what needs code is an `InputError`. `torch.load`, called by anybody else, is as it was.
"""

import functools
import sys
from collections.abc import Collection
from contextlib import contextmanager
from contextvars import ContextVar

from ..host.after_import import spec_with_change

_SAFELY: ContextVar[bool] = ContextVar("reading_safely", default=False)
# The addresses that the user gave; None outside.
_REGISTERED_ALONE: ContextVar[frozenset[str] | None] = ContextVar("registered_types_alone", default=None)
_HOSTS = ("mmengine", "mmcv", "mmdet", "frozen_det")
# Of weights that a library lists.
_OWN_ADDRESSES = ("torchvision://", "modelzoo://", "open-mmlab://", "openmmlab://", "mmcls://", "jhu://")


def install() -> None:
    """Guard the modules of :data:`_GUARDS`, at once or when they are imported. Does nothing the second time."""
    if not any(finder is _Finder for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder)
        for name, guard in _GUARDS.items():
            if name in sys.modules:
                guard(sys.modules[name])


class _Finder:
    """Finds the guarded modules by the other finders, and lets their guard run behind their own code."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _GUARDS:
            return None
        return spec_with_change(name, path, target, _GUARDS[name], (_Finder,))


@contextmanager
def reading_safely():
    """Within it, `torch.load` (of this thread) reads by :mod:`.loading`, whatever the caller and its options."""
    import torch

    if not hasattr(torch.load, "reads_safely"):
        torch.load = torch.serialization.load = _reading_safely_within(torch.load)
    token = _SAFELY.set(True)
    try:
        yield
    finally:
        _SAFELY.reset(token)


def _reading_safely_within(original):
    @functools.wraps(original)
    def load(f, map_location=None, *args, **options):
        if not _SAFELY.get():
            return original(f, map_location, *args, **options)
        from .loading import read

        return read(f, map_location)

    load.reads_safely = True
    return load


# ---- mmengine ------------------------------------------------------------------------------------------------------


def _guard_checkpoints(module) -> None:
    """mmengine.runner.checkpoint: whatever loader a path gets, it reads safely; so do the loaders by name."""
    find = module.CheckpointLoader._get_checkpoint_loader.__func__

    def loader_of(cls, path):
        refuse_address(path)
        return _safe_loader(find(cls, path))

    module.CheckpointLoader._get_checkpoint_loader = classmethod(loader_of)
    for name, loader in list(vars(module).items()):
        if name.startswith("load_from_") and callable(loader):
            setattr(module, name, _safe_loader(loader))


def _safe_loader(loader):
    """A loader of a checkpoint that reads without running code, with mmengine's own objects in what it gives."""
    if hasattr(loader, "reads_safely"):
        return loader

    @functools.wraps(loader)
    def load(filename, *args, **options):
        from ..errors import InputError
        from .mmengine_checkpoints import for_host

        try:
            with reading_safely():
                checkpoint = loader(filename, *args, **options)
        except (OSError, KeyError, ImportError) as error:
            said = (str(error).strip() or "no detail").splitlines()[0]
            raise InputError(
                f"expected a checkpoint that can be fetched, but {filename} cannot: "
                f"{type(error).__name__}: {said}. Give the path of a file."
            ) from error
        return for_host(checkpoint, filename)

    load.reads_safely = True
    return load


def _guard_inferencer(module) -> None:
    """mmengine.infer.infer: weights without a config bring their own as text, which the host would execute."""
    begin, load = module.BaseInferencer.__init__, module.BaseInferencer._init_model

    @functools.wraps(begin)
    def __init__(self, model=None, *args, **options):
        if model is not None:
            return begin(self, model, *args, **options)
        with registered_types_alone():
            return begin(self, model, *args, **options)

    @functools.wraps(load)
    def _init_model(self, cfg, weights, *args, **options):
        if not cfg and weights is not None:
            from .loading import meta_of
            from .reading.recorded_check import check_recorded
            from .reading.recorded_config import parse_recorded

            checkpoint = module._load_checkpoint(weights, map_location="cpu")
            hub = checkpoint.get("message_hub") or {}
            text = (hub.get("runtime_info") or {}).get("cfg") or meta_of(checkpoint, str(weights)).get("cfg")
            if isinstance(text, str):
                recorded = parse_recorded(text, weights)
                check_recorded(recorded, str(weights), remedy="give the config as `model`")
                cfg.update(recorded.to_dict())
        return load(self, cfg, weights, *args, **options)

    module.BaseInferencer.__init__, module.BaseInferencer._init_model = __init__, _init_model


def _guard_pickles(module) -> None:
    """mmengine's handler of .pkl files: proposals, annotations, stored results."""

    def load_from_fileobj(self, file, **options):
        from .reading.tensor_files import unpickle

        return unpickle(file, getattr(file, "name", "the pickle"), **options)

    module.PickleHandler.load_from_fileobj = load_from_fileobj


def _guard_loading(module) -> None:
    """mmengine.fileio.io: its handlers see a file's content alone; a refusal names the file."""
    original = module.load

    @functools.wraps(original)
    def load(file, *args, **options):
        from ..errors import InputError

        try:
            return original(file, *args, **options)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error

    module.load = load
    _guard_addresses(module)


def _guard_yaml(module) -> None:
    """mmengine's handler of .yaml files: plain values, and the tuples that it writes itself."""
    import yaml

    class PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        """Refuses tags that name code."""

    PlainLoader.add_constructor(
        "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
    )
    PlainLoader.add_constructor(None, _refuse_tag)
    module.Loader = PlainLoader


def _refuse_tag(loader, node):
    from ..errors import InputError

    raise InputError(
        f"expected plain values in yaml, but line {node.start_mark.line + 1} asks for {node.tag!r}, which "
        "could run code. Nothing was run. Remove the tag."
    )


@contextmanager
def registered_types_alone(given: Collection[object] = ()):
    """Within it, `type` in a config is a name that a registry holds, or the place of what one holds: the host itself
    looks up any other text as a Python object and calls it. Nor is anything fetched that a config names by its
    address. For configs that came with a folder or with weights.

    Args:
        given: values that the user gave, whose addresses are fetched all the same.
    """
    token = _REGISTERED_ALONE.set(frozenset(one for one in given if isinstance(one, str)))
    try:
        yield
    finally:
        _REGISTERED_ALONE.reset(token)


def refuse_address(address: object) -> None:
    """Refuse to fetch what a config names that came with a folder or with weights.

    Raises:
        InputError: within :func:`registered_types_alone`, for an address that the user did not give.
    """
    from ..errors import InputError

    given, text = _REGISTERED_ALONE.get(), str(address)
    if given is None or text in given or text.startswith(_OWN_ADDRESSES):
        return
    if "://" in text or text.startswith("\\\\"):
        raise InputError(
            f"expected weights and files of this machine in a config that came with weights, but it asks for {text}. "
            "Nothing was fetched. If you trust it, give it yourself (--cfg-options KEY=ADDRESS), or name the config."
        )


def _guard_registry(module) -> None:
    """mmengine.registry.registry: what it imports by names of a config, and what it finds."""
    by_name, by_path, get = module.import_module, module.get_object_from_string, module.Registry.get

    @functools.wraps(by_name)
    def import_module(name, *args):
        top = name.partition(".")[0]
        if _REGISTERED_ALONE.get() is not None and top not in _HOSTS and name not in sys.modules:
            raise ImportError(f"{name} is not imported by a name in a config that came with weights")
        return by_name(name, *args)

    @functools.wraps(by_path)
    def get_object_from_string(name):
        if _REGISTERED_ALONE.get() is None:
            return by_path(name)
        from .reading.recorded_types import held_at

        return held_at(name)

    @functools.wraps(get)
    def get_registered(self, key):
        found = get(self, key)
        if _REGISTERED_ALONE.get() is not None:
            from ..errors import InputError
            from .reading.recorded_types import why_refused

            if reason := why_refused(found):
                raise InputError(
                    f"expected parts that only compute in a config that came with weights, got {key}, which {reason}. "
                    "It was not run. If you trust it, name the config."
                )
        return found

    module.import_module, module.get_object_from_string = import_module, get_object_from_string
    module.Registry.get = get_registered


def _guard_addresses(module) -> None:
    """mmengine.fileio.io: opens files by what their names begin with, and by `backend_args`."""
    find = module.get_file_backend

    @functools.wraps(find)
    def get_file_backend(uri=None, *args, **options):
        if uri is not None:
            refuse_address(uri)
        named = (options.get("backend_args") or {}).get("backend", "local")
        # Of the host's own one extends `sys.path` by an argument.
        if not issubclass(module.backends.get(named, object), module.backends["local"]):
            refuse_address(f"{named}://{uri}")
        return find(uri, *args, **options)

    module.get_file_backend = get_file_backend


# ---- the other hosts ------------------------------------------------------------------------------------------------


def _guard_numpy(module) -> None:
    """A module that asks numpy to unpickle: its `np.load` does not, whatever its arguments."""
    numpy = module.np

    class Numpy:
        """numpy, with another `load`."""

        def __getattr__(self, name):
            return getattr(numpy, name)

        @staticmethod
        def load(file, *args, **options):
            from ..errors import InputError

            try:
                return numpy.load(file, **{**options, "allow_pickle": False})
            except ValueError as error:
                raise InputError(
                    f"expected an array of numbers in {file}, got: {str(error).splitlines()[0]} Nothing was run."
                ) from error

    module.np = Numpy()


def _guard_timm(module) -> None:
    """timm's loaders of checkpoint files (`checkpoint_path` of a model)."""
    for name in ("_torch_load", "load_state_dict"):
        if hasattr(module, name):
            setattr(module, name, _within_reading_safely(getattr(module, name)))


def _within_reading_safely(function):
    @functools.wraps(function)
    def call(*args, **options):
        with reading_safely():
            return function(*args, **options)

    return call


def _teach_configs(module) -> None:
    """mmengine.config.config: `_base_ = "frozen_det::NAME.py"` names a config that ships."""
    from ..host.shipped_configs import teach

    teach(module)


_GUARDS = {
    "mmengine.config.config": _teach_configs,
    "mmengine.runner.checkpoint": _guard_checkpoints,
    "mmengine.fileio.io": _guard_loading,
    "mmengine.registry.registry": _guard_registry,
    "mmengine.infer.infer": _guard_inferencer,
    "mmengine.fileio.handlers.pickle_handler": _guard_pickles,
    "mmengine.fileio.handlers.yaml_handler": _guard_yaml,
    "mmdet.datasets.openimages": _guard_numpy,
    "timm.models._helpers": _guard_timm,
}
