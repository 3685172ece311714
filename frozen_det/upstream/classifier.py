"""`frozen_det.ImageClassifier`: any classifier on mmengine's Runner, with mixed batches and soft targets.

Guarantees that pretrained weights are loaded whole and strictly, that nothing the host does re-initialises them,
and that a checkpoint that does not hold this network is refused. Mixing acts in training alone.
"""

import copy
import dataclasses
from collections.abc import Mapping

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch import Tensor

from ..errors import InputError
from ..models.backbone_sources.build import Body, Preprocess, build_network
from ..models.backbone_sources.provenance import describe_weights, library_version
from ..models.backbone_sources.weights import weights_file
from ..models.backbones.description import is_described
from ..registry import MODELS
from ..weights.card import WeightsCard, first_known, read_card
from ..weights.loading import load_strictly
from .last_stride import run_last_stage_at_stride_one
from .pretrained import load_classifier, split_head

PREFIX = "network."


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """A classifier that trains, tests and hands its backbone over.

    Args:
        backbone: ``dict(type='timm', name=...)``, ``dict(type='torchvision', name=...)``,
            ``dict(type='frozen_det.CifarResNet', depth=20)`` or any mmdet backbone; see
            :func:`frozen_det.models.backbone_sources.build.build_network`.
        num_classes: number of classes.
        weights: None for random initialisation; else a form that ``FrozenBackbone`` takes, loaded with the head, or
            ``dict(path=..., head='new')`` to start with a new head.
        mixing: config of a batch mixing (``frozen_det.BatchMixing``), or None.
        loss: config of a loss on soft targets.
        data_preprocessor: ``dict(mean=..., std=...)`` in 0..255 units, RGB; by default what the weights' card or the
            library says.
        last_stride: 1: the last stage does not stride, for maps of twice the side; see :mod:`.last_stride`. The
            names of the weights stay. None: as the library has it.

    Attributes:
        network: images (N, 3, H, W), normalised -> logits (N, num_classes); keys ``network.*``, the library's own.
        architecture: library and name, e.g. ``timm/resnet50``.
        source: where the loaded weights came from; None until something was loaded.
        stated_classes: the class names that `weights` state for the head that came with them, or None.

    Raises:
        InputError: an unknown name or option, or an unknown mean and std.
    """

    # Files of classifiers seldom name their classes: ImageNet's have an order that everyone keeps.
    classes_are_optional = True

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        weights=None,
        mixing: dict | None = None,
        loss: dict | None = None,
        data_preprocessor: dict | None = None,
        last_stride: int | None = None,
    ):
        MODELS.import_from_location()  # a Runner of this classifier checks what it loads, however this was built
        built = build_network(backbone, num_classes)
        weights = None if is_described() or weights == "random" else weights
        preprocess = expected_input(built.preprocess, weights)
        super().__init__(data_preprocessor=_preprocessor(data_preprocessor, preprocess, num_classes))
        self.network = built.module
        if last_stride is not None:
            _unstride(self.network, last_stride)
        self.num_classes, self.weights, self.source = num_classes, weights, None
        self.stated_classes: tuple[str, ...] | None = None
        self.architecture, self._built, self._backbone_cfg = built.architecture, built, dict(backbone)
        self._preprocess = preprocess
        self.mixing = None if mixing is None else MODELS.build(copy.deepcopy(dict(mixing)))
        self.loss = MODELS.build(copy.deepcopy(dict(loss or dict(type="frozen_det.SoftTargetCrossEntropy"))))

    # -- weights ------------------------------------------------------------------------------------------------

    def init_weights(self) -> None:
        """Load the weights, once; children are left as their library initialised them."""
        if self.weights is None or self.source is not None:
            return
        report = load_classifier(self._built, self._backbone_cfg, self.weights, self.num_classes)
        self.source = str(self.weights)
        self.stated_classes = None if split_head(self.weights)[1] == "new" else report.classes
        head = f"; a new head of {self.num_classes} classes" if split_head(self.weights)[1] == "new" else ""
        _log(f"classifier {self.architecture}: {report} from {self.source}{head}")

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """All of the network is in a checkpoint, or it is refused; files under the library's own names fit as well."""
        wanted, base = self.network.state_dict(), prefix + PREFIX
        if not any(name.startswith(base) for name in state_dict) and prefix == "":
            report = load_strictly(self.network, state_dict, "the checkpoint")
            _log(f"classifier {self.architecture}: {report} from a checkpoint of a plain network")
            state_dict.clear()
            state_dict.update({base + name: value for name, value in self.network.state_dict().items()})
        for name, value in wanted.items():
            found = state_dict.get(base + name)
            if found is None and not name.endswith("num_batches_tracked"):
                raise InputError(
                    f"the checkpoint does not hold {self.architecture}: {base + name} is missing. Give a "
                    "checkpoint that this config trained, or change model.backbone."
                )
            if found is not None and found.shape != value.shape:
                raise InputError(
                    f"the checkpoint does not fit {self.architecture} with {self.num_classes} classes: "
                    f"{base + name} is {tuple(found.shape)} in the file and {tuple(value.shape)} in the "
                    "model. Give a checkpoint that this config trained, or change model.num_classes."
                )
        self.source = "checkpoint"
        super()._load_from_state_dict(state_dict, prefix, *args)

    def weights_card(self, recipe: str | None = None, evaluation: Mapping | None = None) -> WeightsCard:
        """What is known about the weights in the network now.

        Args:
            recipe: name of the config that trained them.
            evaluation: `input_size`, `crop_ratio`, `interpolation` of the run's own evaluation, where known.
        """
        pre = self.data_preprocessor
        own = WeightsCard(
            architecture=self.architecture,
            library_version=library_version(self.architecture),
            mean=tuple(round(v, 4) for v in pre.mean.flatten().tolist()),
            std=tuple(round(v, 4) for v in pre.std.flatten().tolist()),
            channel_order="rgb",
            recipe=recipe,
            num_classes=self.num_classes,
            **dict(evaluation or {}),
        )
        known = self._preprocess or Preprocess()
        library_says = WeightsCard(
            input_size=known.input_size, crop_ratio=known.crop_ratio, interpolation=known.interpolation
        )
        return first_known(own, library_says, self._parent())

    def _parent(self) -> WeightsCard | None:
        """Digest, source and licence of the weights that training began with."""
        if self.weights is None or self.source is None:
            return None
        body = Body(self.network, (), (), None, self.architecture, self._built.head_names, None)
        if not hasattr(self, "_parent_card"):
            card = describe_weights(body, split_head(self.weights)[0])
            self._parent_card = WeightsCard(parent_digest=card.parent_digest, source=card.source, licence=card.licence)
        return self._parent_card

    # -- forward ------------------------------------------------------------------------------------------------

    def forward(self, inputs: Tensor, data_samples: dict | None = None, mode: str = "tensor"):  # (N, 3, H, W)
        """Logits (N, C); with ``mode='loss'`` the losses of a batch; with ``mode='predict'`` one dict per image.

        Args:
            inputs: (N, 3, H, W) float32, normalised.
            data_samples: `label` (N,) int64, and `index`, `path`, `labels_multi` where known.
            mode: ``tensor``, ``loss`` or ``predict``.

        Raises:
            InputError: weights that were requested and not loaded.
        """
        if self.weights is not None and self.source is None:
            raise InputError(
                f"model.weights={self.weights!r} were requested, but nothing was loaded into "
                f"{self.architecture}. Call model.init_weights() (training does), or load a checkpoint."
            )
        if mode == "tensor":
            return self.network(inputs)
        if mode == "loss":
            return self._losses(inputs, data_samples["label"])
        assert mode == "predict", mode
        return _predictions(self.network(inputs), data_samples or {})

    def _losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:  # (N, 3, H, W), (N,)
        if self.mixing is None:
            logits, labels_b, weight = self.network(images), labels, 1.0
        else:
            # The step's own seed (StepSeedHook: run seed, iteration, rank) starts the generator, so a resumed run
            # mixes as the uninterrupted one.
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
            if getattr(self.mixing, "prob_schedule", None):
                self.mixing.set_progress(_progress())
            logits, mixed = self.mixing.forward(self.network, images, labels, generator)
            labels, labels_b, weight = mixed.labels_a, mixed.labels_b, mixed.lam
        targets = self.loss.targets(labels, labels_b, weight, self.num_classes)  # (N, C)
        return {"loss": self.loss(logits, targets), "top1": target_share(logits.detach(), labels, labels_b, weight)}


def target_share(logits: Tensor, labels_a: Tensor, labels_b: Tensor, weight: float) -> Tensor:
    """Training accuracy in percent: the share of each image's labels that the predicted class has, averaged.

    Of a mixed image the class of the larger part counts by its share, not as right or wrong: against `labels_a` alone
    a perfect model would reach lam only. Without mixing this is top-1 accuracy.

    Args:
        logits: (N, C).
        labels_a, labels_b: (N,).
        weight: of `labels_a`, in 0..1.
    """
    predicted = logits.argmax(1)
    share = weight * (predicted == labels_a).float() + (1 - weight) * (predicted == labels_b).float()
    return 100 * share.mean()


def _predictions(logits: Tensor, samples: Mapping) -> list[dict]:  # (N, C)
    """One dict per image: `logits` and `scores` (C,) float32 (softmax), and what is known of the image."""
    logits = logits.float()
    scores = logits.softmax(1)
    names = [name for name in ("label", "index", "path", "labels_multi") if samples.get(name) is not None]
    plain = {name: samples[name].tolist() if isinstance(samples[name], Tensor) else samples[name] for name in names}
    return [
        {"logits": logits[i], "scores": scores[i], **{name: plain[name][i] for name in names}}
        for i in range(len(logits))
    ]


def _progress() -> float:
    """The share of the run that is over, as set by the Runner, in 0..1; 0 without one."""
    hub = MessageHub.get_current_instance()
    known = hub.runtime_info
    return min(1.0, known["iter"] / known["max_iters"]) if known.get("max_iters") and "iter" in known else 0.0


def expected_input(library: Preprocess | None, weights) -> Preprocess | None:
    """What the weights' card says about the input; where it says nothing, what the library says.

    Args:
        library: of the network as it was built.
        weights: as `model.weights`.

    Raises:
        InputError: weights for blue-green-red input.
    """
    path = None if weights is None else weights_file(split_head(weights)[0])
    card = read_card(path) if path is not None and path.is_file() else None
    if card is None or card.mean is None or card.std is None:
        return library
    known = Preprocess(
        card.mean, card.std, card.channel_order or "rgb", card.input_size, card.crop_ratio, card.interpolation
    )
    if known.channel_order == "bgr":  # images come as RGB here
        raise InputError(f"{path} holds weights for blue-green-red input, by its card; a classifier here reads RGB.")
    return (
        known
        if library is None
        else dataclasses.replace(
            library,
            **{
                field.name: value
                for field in dataclasses.fields(known)
                if (value := getattr(known, field.name)) is not None
            },
        )
    )


def _preprocessor(given, expected: Preprocess | None, num_classes: int) -> dict:
    cfg = {"type": "frozen_det.ImagePreprocessor", "num_classes": num_classes, **dict(given or {})}
    if expected is not None:
        cfg.setdefault("mean", expected.mean)
        cfg.setdefault("std", expected.std)
    if "mean" not in cfg or "std" not in cfg:
        raise InputError(
            "expected mean and std in model.data_preprocessor: neither the backbone's library nor a "
            "weights card says what input it expects."
        )
    return cfg


def _unstride(network, last_stride: int) -> None:
    if last_stride != 1:
        raise InputError(f"expected model.last_stride as 1 or None, got {last_stride!r}.")
    device = next(network.parameters()).device
    training = network.training
    run_last_stage_at_stride_one(network.eval(), torch.zeros(1, 3, 64, 64, device=device))
    network.train(training)


def _log(message: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger="current")
