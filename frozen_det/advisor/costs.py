"""What a training step costs on this machine with a backbone that is frozen, has adapters, or is fine-tuned."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..benchmarks.devices.train_step import Setting
from ..benchmarks.measured_step import DetectorStep
from ..benchmarks.measurement import in_turns
from ..config import load_config
from ..engine.choices import Choices, chosen
from ..errors import InputError
from ..models import fill_blanks

#: The detector whose steps are measured: what `train custom` takes for boxes.
CONFIG = "custom_coco"
#: Ways to use a backbone.
WAYS = ("frozen", "adapters", "fine-tuned")
#: Kinds of adapters, the first that a network can take: beside convolutions, or in a transformer's layers.
ADAPTERS = ("parallel", "lora")
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


def step_costs(
    backbone: str, setting: Setting, rounds: int = 3, adapters: str | None = ADAPTERS[0]
) -> dict[str, StepCost]:
    """Steps of :data:`CONFIG` on a backbone in every way of :data:`WAYS`, in turns, after one each to warm up.

    Images are noise with eight objects each and weights are random: neither time nor memory depends on them. Decoding
    and augmentation of images are left out.

    Args:
        backbone: as of ``--backbone``.
        setting: size, batch and device; the number of regions and the repeats of a pyramid are the detector's own.
        rounds: measured steps of every way, at least 1.
        adapters: kind of adapters, as of :func:`adapters_for`; None leaves them out.
    """
    ways = [way for way in WAYS if way != "adapters" or adapters]
    steps = {way: DetectorStep(detector_config(backbone, way, adapters), setting) for way in ways}
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
    return found


def adapters_for(body: dict, strides: Sequence[int]) -> str | None:
    """The first of :data:`ADAPTERS` that has a place in a network; None for none."""
    from ..models import FrozenBackbone

    for kind in ADAPTERS:
        with suppress(InputError):
            FrozenBackbone(body, "random", strides, adapters=dict(type=kind))
            return kind
    return None


def detector_config(backbone: str, way: str, adapters: str | None = ADAPTERS[0]) -> dict:
    """The complete detector, for 80 classes and on random weights, that the arguments of a way give."""
    kind, options = _arguments(way, adapters)
    name, entries = chosen(CONFIG, Choices(backbone=backbone, adapters=kind), options, log=lambda line: None)
    detector: Mapping = load_config(name, entries).model.detector.to_dict()
    return fill_blanks({**detector, "backbone": _random(detector["backbone"])}, num_classes=_NUM_CLASSES)


def _arguments(way: str, adapters: str | None) -> tuple[str | None, dict]:
    """``--adapters`` and the overrides of a way."""
    options = {"model.detector.backbone.freeze": False} if way == "fine-tuned" else {}
    return adapters if way == "adapters" else None, options


def _random(backbone: Mapping) -> dict:
    return {**backbone, "weights": "random"}


def command(data: str, backbone: str, way: str, adapters: str | None = ADAPTERS[0]) -> str:
    """What trains this way, without the program's name, as it is typed."""
    import shlex

    from ..config.option_text import as_options

    kind, options = _arguments(way, adapters)
    words = [f"train custom --data {shlex.quote(data)} --backbone {shlex.quote(backbone)}"]
    words += [f"--adapters {kind}"] if kind else []
    words += [f"--cfg-options {as_options(options)}"] if options else []
    return " ".join(words)
