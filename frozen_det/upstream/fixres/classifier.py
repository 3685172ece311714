"""`frozen_det.FixResClassifier`: a finished classifier of which only head and last norm's statistics still move.

Touvron et al., arXiv 1906.06423, section 4: after training, the classifier and the last batch norm are tuned at the
test resolution with the test's own transform. Everything else stays bit for bit and in eval mode, whatever the host
asks for. Refuses a network without a batch norm unless the norm is named, and training without weights to start from.

The released code (facebookresearch/FixRes, imnet_finetune/train.py, lines 173 to 202) moves the same: it freezes every
parameter but the classifier's (of a PNASNet also those of its last three cells) and puts the last norm into training
mode. Its `conv_head.requires_grad = True` for EfficientNets is set on a module, where it does nothing.
"""

import torch
from torch import Tensor, nn

from ...errors import InputError, closest
from ...models.backbone_sources.build import build_network, on_meta
from ...models.layers.norms import NORMS
from ...registry import MODELS
from ..classifier import PREFIX, ImageClassifier

_BATCH_NORMS = nn.modules.batchnorm._BatchNorm


@MODELS.register_module()
class FixResClassifier(ImageClassifier):
    """A classifier for the tuning at the test resolution; state-dict keys are :class:`ImageClassifier`'s.

    Args:
        backbone, num_classes: as there.
        weights: what to start from, as there; required for training.
        norm: name of the norm whose running statistics move, relative to the network (``layer4.2.bn3``), or several; a
            container means the BatchNorms in it. None: the batch norm that runs last, found by one run on meta
            tensors. ``()``: none, only the classifier is tuned.
        affine: whether the norm's scale and shift train as well.
        whole: names of modules that train altogether, statistics included (released for PNASNet: cells 9 to 11).
        others: of :class:`ImageClassifier`.

    Attributes:
        norms: names of the norms whose statistics move, in the network.
        tuned: names of the state dict's entries that may move.

    Raises:
        InputError: no batch norm, a name that the network does not have, `affine` without a norm.
    """

    def __init__(self, backbone: dict, num_classes: int, norm=None, affine: bool = False, whole=(), **others):
        super().__init__(backbone, num_classes, **others)
        self.whole = _existing(self.network, [whole] if isinstance(whole, str) else whole, "model.whole")
        if norm is None:
            norm = last_norm(backbone, num_classes)
        named = _existing(self.network, [norm] if isinstance(norm, str) else norm, "model.norm")
        self.norms = tuple(name for one in named for name in _norms_below(self.network, one))
        if affine and not self.norms:
            raise InputError("expected a norm with affine=True, got none (model.norm).")
        self.affine = affine
        self.tuned = frozenset(PREFIX + name for name in self._tuned_names())
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in self.tuned)
        self.train(self.training)

    # -- what moves ---------------------------------------------------------------------------------------------

    def _tuned_names(self) -> set[str]:
        """Entries of the network's state dict: head, the norms' statistics, by choice their scale and shift."""
        names = set(self._built.head_names)
        for norm in self.norms:
            module = self.network.get_submodule(norm)
            names.update(f"{norm}.{name}" for name, _ in module.named_buffers(recurse=False))
            if self.affine:
                names.update(f"{norm}.{name}" for name, _ in module.named_parameters(recurse=False))
        for part in self.whole:
            names.update(f"{part}.{name}" for name in self.network.get_submodule(part).state_dict())
        return names

    @property
    def is_frozen(self) -> bool:
        """Always: this is what :class:`frozen_det.engine.FrozenProofHook` asks."""
        return True

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Every entry of the state dict that must not move."""
        return {name: value for name, value in self.state_dict().items() if name not in self.tuned}

    def train(self, mode: bool = True):
        """Set the mode of the last norm and of what trains whole; everything else stays in eval."""
        super().train(False)
        self.training = mode
        for name in (*getattr(self, "norms", ()), *getattr(self, "whole", ())):
            self.network.get_submodule(name).train(mode)
        return self

    def _losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:  # (N, 3, H, W), (N,)
        if self.source is None:
            raise InputError(
                "expected a finished classifier to tune at the test resolution, but no weights were "
                "loaded. Set model.weights, or call it as frozen-det fixres CONFIG CHECKPOINT."
            )
        return super()._losses(images, labels)


def last_norm(backbone: dict, num_classes: int) -> str:
    """Name of the batch norm that runs last in a classifier's forward pass, found on meta tensors.

    Where several branches end side by side (PNASNet), it is one of them: name them yourself.

    Args:
        backbone, num_classes: of the classifier, as :func:`build_network` takes them.

    Raises:
        InputError: no batch norm runs.
    """
    built = on_meta(lambda: build_network(dict(backbone), num_classes))[0]
    network, order = built.module.eval(), []
    size = getattr(built.preprocess, "input_size", None) or 224
    for name, module in network.named_modules():
        if isinstance(module, _BATCH_NORMS):
            module.register_forward_hook(lambda module, given, out, name=name: order.append(name))
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size, device=next(network.parameters()).device))
    if not order:
        raise InputError(
            f"expected a network with a batch norm, got {built.architecture}, which has none that runs: "
            "its statistics do not depend on the data. To tune the classifier alone set model.norm=() "
            "(--norm none); to train another norm's scale and shift name it and say affine."
        )
    return order[-1]


def head_module(model: ImageClassifier) -> tuple[str, nn.Module]:
    """Name (in the network) and module of the linear layer whose input are the pooled activations.

    Raises:
        InputError: a head of several layers.
    """
    holders = sorted({name.rpartition(".")[0] for name in model._built.head_names})
    if len(holders) != 1:
        raise InputError(
            f"expected one layer that depends on the number of classes in {model.architecture}, got {holders}."
        )
    return holders[0], model.network.get_submodule(holders[0])


def _existing(network: nn.Module, names, where: str) -> tuple[str, ...]:
    known = dict(network.named_modules())
    for name in names:
        if name not in known or not name:
            raise InputError(
                f"expected the name of a module of the network at {where}, got {name!r}; "
                f"{closest(str(name), known) or 'see network.named_modules()'}"
            )
    return tuple(names)


def _norms_below(network: nn.Module, name: str) -> list[str]:
    module = network.get_submodule(name)
    if isinstance(module, NORMS):
        return [name]
    found = [f"{name}.{inner}" for inner, part in module.named_modules() if isinstance(part, _BATCH_NORMS)]
    if not found:
        raise InputError(
            f"expected a norm or a module with batch norms at model.norm, got {name!r} ({type(module).__name__})."
        )
    return found
