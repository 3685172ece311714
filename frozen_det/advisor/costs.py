"""What a training step of the study costs on this machine, for each way to use a backbone, and what is typed for it."""

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..benchmarks.devices.train_step import Setting
from ..benchmarks.measured_step import DetectorStep
from ..benchmarks.measurement import in_turns
from ..benchmarks.study.arms import ARMS, Arm, StudyRun, of_equal_step
from ..benchmarks.study.decoders import DECODERS
from ..benchmarks.study.running import BATCH
from ..config import load_config
from ..config.option_text import as_options
from ..engine.choices import Choices, chosen
from ..errors import InputError
from ..models import fill_blanks

#: The detector of all runs of the study, with the decoder below.
CONFIG = "custom_coco"
DECODER = DECODERS["light"]
#: Updates of a training at full length.
UPDATES = StudyRun.updates
#: Those of the ways below that freeze by the names of layers.
TUNED = ("last stage tuned", "fine-tuned", "fine-tuned, a tenth of the rate")
#: Arms of the study that are advised on, each wherever the network takes it; their order decides nothing.
WAYS = ("frozen", "LoRA", "parallel adapters", *TUNED)
_BODY = "model.detector.backbone."
_NUM_CLASSES = 80  # of the synthetic objects


@dataclass(frozen=True)
class StepCost:
    """A training step.

    Attributes:
        seconds, spread: median wall time, and from its lower to its upper quartile.
        cpu_seconds: median time of the process's own work: less than `seconds` where other work shares the machine.
        kept_mib: what autograd holds between forward and backward, losses included, parameters left out.
        total_params, trained_params: of the whole detector.
    """

    seconds: float
    spread: float
    cpu_seconds: float
    kept_mib: float
    total_params: int
    trained_params: int


def step_costs(backbone: str, setting: Setting, rounds: int, ways: Sequence[str]) -> dict[str, StepCost]:
    """Steps of the study's light detector on a backbone in every way, in turns, after one each to warm up.

    Images are noise with eight objects each and weights are random: neither time nor memory depends on them. Decoding
    and augmentation of images are left out. Ways that differ in the optimiser alone are measured once.

    Args:
        backbone: as of ``--backbone``.
        setting: size, batch and device; the number of regions and the repeats of a pyramid are the detector's own.
        rounds: measured steps of every way, at least 1.
        ways: of :data:`WAYS`.
    """
    as_built = {way: of_equal_step(way) for way in ways}
    steps = {way: DetectorStep(detector_config(backbone, way), setting) for way in dict.fromkeys(as_built.values())}
    kept = {way: step.kept_bytes() / 2**20 for way, step in steps.items()}
    calls: dict[Any, Any] = {way: step.step for way, step in steps.items()}
    gpu = setting.device if setting.device.startswith("cuda") else None
    times = in_turns(calls, rounds, gpu=gpu, after=lambda way: steps[str(way)].drop_gradients())
    found = {}
    for way, step in steps.items():
        counts = [(one.numel(), one.requires_grad) for one in step.model.parameters()]
        found[way] = StepCost(
            times[way].wall_ms / 1e3,
            times[way].spread_ms / 1e3,
            times[way].cpu_ms / 1e3,
            kept[way],
            sum(count for count, _ in counts),
            sum(count for count, trained in counts if trained),
        )
    return {way: found[as_built[way]] for way in ways}


def ways_for(body: dict, strides: Sequence[int]) -> tuple[str, ...]:
    """The ways of :data:`WAYS` that a network takes: it has layers that the way adapts, or of the names it freezes."""
    from ..models import FrozenBackbone

    found: list[str] = []
    for way in WAYS:
        with suppress(InputError):
            FrozenBackbone(body, "random", strides, **body_options(way))
            found.append(way)
    return tuple(found)


def body_options(way: str) -> dict[str, Any]:
    """Arguments of the backbone in a way of the study."""
    arm: Arm = ARMS[way]
    found = {key.removeprefix(_BODY): value for key, value in arm.options.items() if key.startswith(_BODY)}
    return {**found, "adapters": dict(type=arm.adapters)} if arm.adapters else found


def detector_config(backbone: str, way: str) -> dict:
    """The complete detector, for 80 classes and on random weights, of a way."""
    options = {**DECODER.options, **ARMS[way].options}
    name, entries = chosen(
        CONFIG, Choices(backbone=backbone, adapters=ARMS[way].adapters), options, log=lambda line: None
    )
    detector: Mapping = load_config(name, entries).model.detector.to_dict()
    return fill_blanks({**detector, "backbone": _random(detector["backbone"])}, num_classes=_NUM_CLASSES)


def _random(backbone: Mapping) -> dict:
    return {**backbone, "weights": "random"}


def epochs_of(num_images: int) -> int:
    """Passes over some training images that are about :data:`UPDATES` updates."""
    return max(1, round(UPDATES / math.ceil(num_images / BATCH)))


def decoder_words() -> str:
    """The overrides of the light decoder as they are typed."""
    return as_options(dict(DECODER.options))


def command(data: str, backbone: str, way: str, size: int, num_images: int, rate: float, decoder: str) -> str:
    """What trains this way as the study does, without the program's name, as it is typed.

    Other than the study it validates as it trains and keeps the best checkpoint, and not the last alone; hooks that
    look on, the log and the number of loading processes differ too.

    Args:
        data: folder.
        backbone: as of ``--backbone``.
        way: of :data:`WAYS`.
        size: side of the images in px.
        num_images: training images.
        rate: of AdamW for batches of the study; it is not scaled.
        decoder: words for the decoder's overrides, of :func:`decoder_words`.
    """
    arm = ARMS[way]
    words = [f"train {CONFIG} --data {shlex.quote(data)} --backbone {shlex.quote(backbone)}"]
    words += [f"--adapters {arm.adapters}"] if arm.adapters else []
    words += [f"--size {size} --batch {BATCH} --epochs {epochs_of(num_images)}", f"--cfg-options {decoder}"]
    words += [as_options({"auto_scale_lr.enable": False, "optim_wrapper.optimizer.lr": rate, **arm.options})]
    return " ".join(words)
