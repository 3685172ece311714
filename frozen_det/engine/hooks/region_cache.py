"""`frozen_det.RegionCacheHook`: a second stage computes each region once and reads it from then on.

Of a ``frozen_det.ClassifierStage`` only the final layers train; what they train on follows from weights that are proven
frozen, from samples whose draws repeat (:mod:`.views`) and from a step's seed. So the first epochs keep each batch's
regions, labels and weights in a folder, and later epochs and later runs read them: other losses, learning rates and
first values of the layer are a matter of seconds. The same views end in the same weights, bit by bit, read or computed.
"""

import hashlib
import json
import os
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from ... import __version__
from ...errors import InputError
from ...host.torch_versions import autocast_dtype
from ...models.detectors.regions import let_regions_pass, regions_in
from ...models.detectors.second_stage import ClassifierStage
from ...registry import HOOKS
from ...weights.digest import fingerprint
from ...weights.feature_store import FeatureStore, num_bytes
from ...weights.whole_checkpoint import unwrapped
from ..runner.region_batches import RegionLoader, batch_name
from .views import ViewsHook


@HOOKS.register_module()
class RegionCacheHook(ViewsHook):
    """Keep the regions of `views` epochs, and read them when their epochs come again.

    A record is read only where all is equal that it follows from: every frozen tensor, the model's config but for the
    classification loss and what is for testing alone, the training data's config, annotations, file sizes and dates,
    seeds, rank, view, precision, device and version of torch. The first batch of every run is computed too, and must
    be its record bit by bit.

    Args:
        views: epochs of draws of their own; each takes its space. See ``frozen_det.ViewsHook``.
        folder: of the records. Runs share it; it may be deleted between runs.
        limit: most that all records there take, such as "20GB". What does not fit is computed each time.

    Raises:
        InputError: what ``frozen_det.ViewsHook`` refuses; a limit that is no size; another model; regions that depend
            on the layer that trains; a first batch that is not its record.
    """

    def __init__(self, views: int, folder: str, limit: str | int = "20GB"):
        super().__init__(views)
        num_bytes(limit)
        self.folder, self.limit = folder, limit
        self._checked, self._num_read, self._name = False, 0, None

    def before_train(self, runner) -> None:
        """Put a loader that reads what is there in the training loader's place."""
        super().before_train(runner)
        model = unwrapped(runner.model)
        if not isinstance(model, ClassifierStage):
            raise InputError(
                f"expected a model of type frozen_det.ClassifierStage for frozen_det.RegionCacheHook, got "
                f"{type(model).__name__}: regions repeat only where all but the final layers is frozen. Use "
                "frozen_det.FeatureCacheHook, or leave the hook out."
            )
        self.store = FeatureStore(self.folder, self.limit)
        loader, draws = runner.train_loop.dataloader, (runner.seed, runner.rank, runner.world_size)
        runner.train_loop.dataloader = RegionLoader(loader, self.store, function_digest(runner, model), draws)
        let_regions_pass(model.data_preprocessor)
        model.keep_regions = self._keep

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Note what the batch is called; check the first one of the run."""
        self._name = batch_name(data_batch)
        self._num_read += regions_in(data_batch["data_samples"]) is not None
        if not self._checked:
            self._check(runner, data_batch)
            self._checked = True

    def after_train(self, runner) -> None:
        """Say what was read and kept."""
        unwrapped(runner.model).keep_regions = None
        runner.logger.info(
            f"region cache {self.folder}: {self._num_read} batches read, {self.store.num_written} computed and kept, "
            f"{self.store.num_left_out} left out by the limit of {self.limit}"
        )

    def _keep(self, regions: dict[str, Tensor]) -> None:
        self.store.write(self._name.key, regions)

    def _check(self, runner, data_batch) -> None:
        """Compute the first batch as the layers are, and with other values in them."""
        model = unwrapped(runner.model)
        found = self._computed(runner, model)
        with _negated(model):
            other = self._computed(runner, model)
        name = _first_difference(found, other)
        if name is not None:
            raise InputError(
                f"expected regions that follow from frozen weights alone, but {name} of the first batch depend on the "
                "layer that trains (RegionCacheHook): in a cascade, regions move by the box of the class that the "
                "layer before found. Set reg_class_agnostic=True in model.detector.roi_head.bbox_head of both stages, "
                "or leave the hook out."
            )
        held = regions_in(data_batch["data_samples"])
        name = None if held is None else _first_difference(found, held)
        if name is not None:
            raise InputError(
                f"expected the first batch to be as it was recorded in {self.folder} (RegionCacheHook), but {name} "
                "differ: pictures on disk, a library or the machine changed in a way that file sizes, dates and "
                "versions do not tell. Delete the folder, or give another one."
            )

    def _computed(self, runner, model: ClassifierStage) -> dict[str, Tensor]:
        batch = runner.train_loop.dataloader.dataset.images(self._name)
        with _undrawn(), torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
            data = model.data_preprocessor(batch, True)
            return model.regions(data["inputs"], data["data_samples"])


def function_digest(runner, model: ClassifierStage) -> str:
    """Digest of all that regions follow from beside a batch's samples and its step's draws."""
    body = model.backbone.frozen_tensors() if getattr(model.backbone, "is_frozen", False) else {}
    weights = fingerprint({**model.frozen_tensors(), **{f"backbone.body.{name}": one for name, one in body.items()}})
    device = next(model.parameters()).device
    with runner.optim_wrapper.optim_context(runner.model):
        precision = autocast_dtype(device.type)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.get_num_threads()
    configs = [_without_loss(runner.cfg.get("model")), _of_samples(runner.cfg.get("train_dataloader"))]
    state = [weights.digest, precision, device.type, machine, torch.__version__, __version__]
    text = json.dumps([*configs, *map(str, state)], sort_keys=True, default=repr)
    return hashlib.sha256(f"{text}{data_digest(runner.train_loop.dataloader.dataset)}".encode()).hexdigest()


def data_digest(dataset) -> str:
    """Digest of a data set's entries (paths, objects) and its files' sizes and dates, through wrappers.

    Raises:
        InputError: a data set that does not tell its entries.
    """
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "__dict__", {}).get("dataset")]
    if inner[0] is not None:
        return "".join(data_digest(one) for one in inner)
    if not hasattr(dataset, "get_data_info"):
        raise InputError(
            f"expected a data set with get_data_info in train_dataloader.dataset, as mmdet's have, got "
            f"{type(dataset).__name__} (RegionCacheHook). Leave the hook out."
        )
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        entry = dataset.get_data_info(index)
        digest.update(pickle.dumps(entry))
        for path in (value for key, value in sorted(entry.items()) if key.endswith("_path") and value):
            if os.path.isfile(path):
                digest.update(repr((os.path.getsize(path), os.stat(path).st_mtime_ns)).encode())
    return digest.hexdigest()


def _without_loss(cfg, name: str = "model"):
    """A model's config without what regions do not follow from: the box heads' classification loss, testing."""
    if isinstance(cfg, dict):
        left_out = {"loss_cls"} if name == "bbox_head" else set()
        left_out |= {"test_cfg"} if "rpn_proposal" in (cfg.get("train_cfg") or {}) else set()
        return {key: _without_loss(value, key) for key, value in cfg.items() if key not in left_out}
    return [_without_loss(one, name) for one in cfg] if isinstance(cfg, (list, tuple)) else cfg


def _of_samples(cfg):
    """A loader's config without what no sample follows from."""
    speed = ("num_workers", "persistent_workers", "prefetch_factor", "pin_memory")
    return {key: value for key, value in cfg.items() if key not in speed} if isinstance(cfg, dict) else cfg


@contextmanager
def _negated(model: ClassifierStage) -> Iterator[None]:
    """Within this context the final layers prefer what they found least likely."""
    parameters = [one for name in model.trained_layers for one in model.get_submodule(name).parameters()]
    with torch.no_grad():
        for one in parameters:
            one.neg_()
        try:
            yield
        finally:
            for one in parameters:
                one.neg_()


@contextmanager
def _undrawn() -> Iterator[None]:
    """What is drawn within this context is drawn again after it."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _first_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> str | None:
    """Name of the first tensor that is not the same bit by bit."""
    return fingerprint(one).first_difference(fingerprint(other))
