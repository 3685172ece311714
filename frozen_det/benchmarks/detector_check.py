"""One detector config checked by running it: built frozen, one training step, one prediction, and mmdet's own losses.

A detector passes if it is built as the README shows, at random weights, takes a training step with finite losses,
gives finite gradients to its decoder and none to its backbone, leaves the frozen digest as it was, and predicts. Where
the backbone is mmdet's own, the losses of the frozen detector equal those of the plain one with the same weights, bit
by bit. It reports and never raises.
"""

import copy
import math
import random
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..errors import InputError
from ..models.backbones.description import describing
from ..models.detectors.detector import fill_blanks
from ..models.detectors.fill_neck import cause
from .backbone_check import ContractViolation
from .detector_batch import in_branches, synthetic_batch
from .stock_detectors import config_folder

PASSED, FAILED = "passed", "failed"
# Sides of the images in px: the second for detectors that need more cells (900 queries, SSD's last level).
SIZES = (128, 320)
# Of detectors on another backbone, which are given the number; labels of the synthetic images are below it.
NUM_CLASSES = 3
# Regions of an image that samplers draw and proposal heads return, of detectors that have more: enough to see.
_MOST_REGIONS = 64


class PlainDetector:
    """mmdet's own detector from a stock config, at random weights: the size at which it runs, weights and losses.

    Args:
        model: the stock model config.
        semantic_scale, with_masks: of :func:`.detector_batch.synthetic_batch`.
        seed: of weights, images and every draw in the forward pass.

    Attributes:
        cfg: its config, without downloads, made light.
        num_classes: of the labels that it was given, to be set in a detector on another backbone; None where a teacher
            knows its own number, which the student must share.
        size: side of the images in px: the first of :data:`SIZES` at which it has losses and predicts.
        state: its weights before that, and those of a teacher that it hides from its own.
        losses: name -> value, its backbone in eval mode and without gradients, as a frozen one is: torch multiplies by
            a weight that trains in another order (`matmul` folds the batch), as PVT's losses show.

    Raises:
        Exception: whatever the detector raises at the last size: the host's own reason.
    """

    def __init__(self, model: dict, semantic_scale: float, seed: int, with_masks: bool = True):
        self.cfg = made_light(without_downloads(model))
        labels = min(least_num_classes(self.cfg), NUM_CLASSES)
        self.num_classes = None if any(key.startswith("teacher") for key in self.cfg) else labels
        self._batch = dict(num_classes=labels, semantic_scale=semantic_scale, with_masks=with_masks, seed=seed)
        detector = _built(self.cfg, seed)
        self.state = {
            prefix: {key: value.clone() for key, value in part.state_dict().items()}
            for prefix, part in _with_teacher(detector)
        }
        for self.size in SIZES:
            detector.train()
            for backbone in _bodies(detector):
                backbone.eval()
                backbone.requires_grad_(False)
            try:
                with torch.no_grad():
                    self.losses = losses_of(detector, self.batch(), seed)
                predict(detector, self.batch())
                break
            except Exception:
                if self.size == SIZES[-1]:
                    raise

    def batch(self) -> dict:
        """What it was given."""
        return synthetic_batch(self.size, **self._batch)


def check_detector(
    model: dict, batch: dict, state: dict | None = None, expected: dict | None = None, seed: int = 0, **swapped
) -> dict:
    """Build a detector with a frozen backbone at random weights, let it learn one step and predict.

    Args:
        model: config of a detector as the README wraps it: filled here.
        batch: as of :func:`.detector_batch.synthetic_batch`.
        state: weights of the plain detector, to be loaded; None keeps random ones.
        expected: losses of the plain detector with these weights; None where there is none to compare with.
        seed: of weights and draws.
        swapped: further arguments of :class:`frozen_det.models.detectors.detector.Detector`: `backbone`, `num_classes`.

    Returns:
        ``status`` (:data:`PASSED` or :data:`FAILED`), ``reason`` (empty where it passed), ``parity`` (True, False, or
        None where there is nothing to compare), ``strides`` (of the backbone's features).
    """
    row = dict(status=FAILED, reason="", parity=None, strides=())
    try:
        with describing(), _mmdet():
            filled = fill_blanks(model, **swapped)
        with describing():
            detector = _built(filled, seed)
        for prefix, part in _with_teacher(detector) if state is not None else ():
            part.load_state_dict(state[prefix])
        row["strides"] = _bodies(detector)[0].strides
        losses = train_one_step(detector, batch, seed)
        if expected is not None:
            row["parity"] = _same(losses, expected)
            _require(row["parity"], "its losses are not those of the plain detector with equal weights")
        predict(detector, batch)
        row["status"] = PASSED
    except Exception as error:  # whatever it is, it is this detector's row, and the sweep continues
        row["reason"] = said(error)
    return row


def train_one_step(detector: nn.Module, batch: dict, seed: int) -> dict[str, list[torch.Tensor]]:
    """Losses of one step of SGD on what trains, by name.

    Raises:
        ContractViolation: a loss or gradient that is not finite, a backbone that learns or changes, or a decoder that
            does not.
    """
    frozen = _bodies(detector)
    before = [backbone.frozen_fingerprint() for backbone in frozen]
    detector.train()
    losses = losses_of(detector, batch, seed)
    total, _ = detector.parse_losses(losses)
    _require(math.isfinite(total.detach()), f"the loss is {float(total.detach()):.3g}")
    total.backward()
    bodies = {id(p) for backbone in frozen for p in backbone.body.parameters()}
    grads = {name: p.grad for name, p in detector.named_parameters() if p.grad is not None}
    in_body = [name for name, p in detector.named_parameters() if name in grads and id(p) in bodies]
    _require(not in_body, f"{len(in_body)} parameters of the backbone got a gradient, the first is {in_body[:1]}")
    broken = [name for name, grad in grads.items() if not grad.isfinite().all()]
    _require(not broken, f"{len(broken)} gradients are not finite, the first is that of {broken[:1]}")
    _require(any(grad.abs().max() > 0 for grad in grads.values()), "no parameter of the decoder got a gradient")
    torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=1e-6).step()
    for backbone, digest in zip(frozen, before):
        changed = digest.first_difference(backbone.frozen_fingerprint())
        _require(changed is None, f"a training step changed {changed}")
    return {name: _listed(value) for name, value in losses.items()}


def losses_of(detector: nn.Module, batch: dict, seed: int) -> dict:
    """What `loss` of a detector gives for a batch, every draw seeded."""
    from mmengine.logging import MessageHub

    _seeded(seed)
    for counter in ("iter", "epoch"):  # which a Runner sets; BoxInst and TOOD ask
        MessageHub.get_current_instance().update_info(counter, 0)
    batch = copy.deepcopy(batch)
    if hasattr(detector, "student"):
        batch = in_branches(batch)
    with _mmdet(), quiet():
        return detector(**detector.data_preprocessor(batch, True), mode="loss")


def predict(detector: nn.Module, batch: dict) -> None:
    """One prediction, on the batch's first image: guided anchoring's predicts one image at a time.

    Raises:
        ContractViolation: not one result for it.
    """
    detector.eval()
    batch = copy.deepcopy({key: value[:1] for key, value in batch.items()})
    if getattr(detector, "with_rpn", False):  # it finds proposals of its own
        del batch["data_samples"][0].proposals
    with torch.no_grad(), _mmdet(), quiet():
        found = detector.test_step(batch)
    _require(len(found) == 1, f"{len(found)} predictions for one image")


def without_downloads(model: dict) -> dict:
    """A model config without what would be fetched: pretrained weights anywhere, a teacher's checkpoint.

    A teacher's config is read from mmdet's own folder, where it is named by a path in a checkout.
    """

    def cleaned(node):
        if isinstance(node, dict):
            node = {key: cleaned(value) for key, value in node.items() if not _is_download(key, value)}
            if isinstance(node.get("teacher_config"), str):
                node["teacher_config"] = dict(model=cleaned(_stock_model(node["teacher_config"])))
            return node
        return type(node)(cleaned(item) for item in node) if isinstance(node, (list, tuple)) else node

    return cleaned(model)


def made_light(node, key: str = ""):
    """A model config whose samplers draw few regions, whose RPN returns few, and which leaves batches as they are.

    Mask2Former's batches are padded to 1024 px, whatever the images. mmcv's own synchronised norms are plain ones:
    there is one process, and mmengine turns them back only where mmcv's ops are compiled.
    """
    if isinstance(node, dict):
        if node.get("type") == "MMSyncBN":
            node = node | dict(type="BN")
        capped = ("num", "max_per_img") if key.startswith("rpn") else ("num",)
        return {
            name: min(value, _MOST_REGIONS) if name in capped and isinstance(value, int) else made_light(value, name)
            for name, value in node.items()
            if name != "batch_augments"
        }
    return type(node)(made_light(item, key) for item in node) if isinstance(node, (list, tuple)) else node


def least_num_classes(model) -> int:
    """The smallest number of classes that any part of a model config names, so that labels below it suit all."""
    if isinstance(model, dict):
        own = [
            value
            for key, value in model.items()
            if key in ("num_classes", "num_things_classes") and isinstance(value, int) and value > 0
        ]
        return min([*own, *(least_num_classes(value) for value in model.values())], default=80)
    return min((least_num_classes(item) for item in model), default=80) if isinstance(model, (list, tuple)) else 80


def said(error: Exception) -> str:
    """An error as one line."""
    return " ".join(str(error).split())[:400] if isinstance(error, (InputError, ContractViolation)) else cause(error)


def _is_download(key: str, value) -> bool:
    pretrained = isinstance(value, dict) and "checkpoint" in value  # PVT's has no type
    return (key == "init_cfg" and pretrained) or key in ("teacher_ckpt", "pretrained")


def _stock_model(path: str) -> dict:
    from mmengine.config import Config

    return Config.fromfile(str(config_folder().parent / path)).model.to_dict()


def _bodies(detector: nn.Module) -> list[nn.Module]:
    """The backbones of a detector, and of those inside it."""
    return [module for name, module in detector.named_modules() if name.rsplit(".", 1)[-1] == "backbone"]


def _with_teacher(detector: nn.Module) -> list[tuple[str, nn.Module]]:
    """A detector, and modules that it keeps as plain attributes so that its own weights do not hold them."""
    hidden = [(name, value) for name, value in vars(detector).items() if isinstance(value, nn.Module)]
    return [("", detector), *hidden]


def _built(cfg: dict, seed: int) -> nn.Module:
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm

    _seeded(seed)
    with _mmdet(), quiet():
        detector = MODELS.build(ConfigDict(copy.deepcopy(cfg)))
        detector.init_weights()
        return revert_sync_batchnorm(detector)  # there is one process


def _same(losses: dict, expected: dict) -> bool:
    return losses.keys() == expected.keys() and all(
        len(losses[name]) == len(_listed(value)) and all(map(torch.equal, losses[name], _listed(value)))
        for name, value in expected.items()
    )


def _listed(value) -> list[torch.Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise ContractViolation(otherwise)


def _seeded(seed: int) -> None:
    """Samplers of mmdet draw from three generators."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def _mmdet():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


@contextmanager
def quiet():
    """mmengine logs every parameter that it initialises; torch warns of what mmdet still calls."""
    from .measured_step import quiet_host

    with warnings.catch_warnings(), quiet_host():
        warnings.simplefilter("ignore")
        yield
