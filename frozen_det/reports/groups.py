"""Run groups: the same config with several seeds is one group, with a mean and a spread.

Two runs are of one group when their configs differ in nothing but the seed and where files lie. Groups get short names
from what they differ in (frozen or fine-tuned, neck, share of the data) where that tells them apart.
"""

import re
import statistics
from dataclasses import dataclass

from ..datasets.samplers.data_fraction import training_datasets
from ..errors import InputError
from ..pages.blocks import MISSING
from .run_record import RunRecord

# What may differ between two seeds of one group: places, and what only looks on.
_PLACES = (
    "work_dir",
    "load_from",
    "resume",
    "randomness",
    "experiment_name",
    "launcher",
    "log_level",
    "default_hooks",
    "visualizer",
    "vis_backends",
    "log_processor",
    "env_cfg",
)
_ONLOOKERS = (
    "FrozenProofHook",
    "NaNGuardHook",
    "ValidationPicturesHook",
    "FractionRecordHook",
    "MixedPicturesHook",
    "HostMemoryHook",
)


@dataclass
class RunGroup:
    """Runs of one config.

    Attributes:
        label: what it differs in from the other groups, in words; where that is not known or not enough, the name of
            the config with the share of the data, and with the work directory where two would still share a name.
        runs: its runs.
        facts: kind of training, decoder and so on, or None for a config that does not tell.
        description: the model's parameters and FLOPs, or None.
    """

    label: str
    runs: list[RunRecord]
    facts: "GroupFacts | None" = None
    description: object = None

    def values(self, of) -> list[float]:
        """``of(run)`` for all runs that have it."""
        return [value for value in map(of, self.runs) if value is not None and value != -1]

    def by_seed(self, of) -> dict[int, float]:
        """Seed -> ``of(run)``, for all runs that have both; of two runs with one seed, the later one's."""
        return {
            run.seed: value
            for run in self.runs
            if run.seed is not None and (value := of(run)) is not None and value != -1
        }

    @property
    def seeds(self) -> str:
        """Seeds in words, an empty text where none is known."""
        return ", ".join(str(run.seed) for run in self.runs if run.seed is not None)


@dataclass(frozen=True)
class GroupFacts:
    """What a config says about its group, in words; ``share`` is a number in (0, 1]."""

    training: str
    backbone: str
    neck: str
    detector: str
    share: float
    schedule: str

    @property
    def decoder(self) -> str:
        """Neck and detector as the paper's tables name them; Faster R-CNN goes without saying."""
        more = {"Faster R-CNN": "", "Cascade R-CNN": " + Cascade"}.get(self.detector, f" + {self.detector}")
        return self.neck + more


def group_runs(runs: list[RunRecord]) -> list[RunGroup]:
    """Groups in the order in which their first runs were given."""
    alike: dict[tuple, list[RunRecord]] = {}
    for run in runs:
        alike.setdefault((run.name, _essence(run)), []).append(run)
    groups = [RunGroup(_label(same[0]), same, group_facts(same[0])) for same in alike.values()]
    short = _short_labels(groups)
    labels = [group.label for group in groups]
    for number, group in enumerate(groups):
        if short is not None:
            group.label = short[number]
        elif labels.count(group.label) > 1:
            group.label = f"{group.label} ({group.runs[0].title})"
    return groups


def group_facts(run: RunRecord) -> GroupFacts | None:
    """Read the facts from a detector's config; None for other models."""
    from ..models.detectors.trained_backbone import backbone_config

    cfg = run.config
    if cfg is None or not cfg.get("model") or run.is_classification:
        return None
    detector = cfg.model.get("detector") or cfg.model
    try:
        backbone = backbone_config(cfg.model, run.name)
    except InputError:
        return None
    body = backbone.get("body") or {}
    neck = detector.get("neck") or {}
    neck = neck[-1] if isinstance(neck, list | tuple) else neck
    convs = f" of {neck['num_convs']}" if neck.get("num_convs") else ""
    return GroupFacts(
        _training(backbone, cfg),
        str(body.get("name") or body.get("type") or backbone.get("type")),
        _plain(neck.get("type", "no neck")) + convs,
        _plain(detector.get("type", "")),
        run.share or 1.0,
        _schedule(cfg),
    )


def _training(backbone, cfg) -> str:
    """What trains of the backbone: 'scratch', 'fine-tuned', 'frozen', with adapters or not."""
    freeze, adapters = backbone.get("freeze", True), bool(backbone.get("adapters"))
    later = any(str(hook.get("type", "")).endswith("UnfreezeHook") for hook in cfg.get("custom_hooks") or [])
    if freeze is False:
        word = "scratch" if backbone.get("weights") == "random" else "fine-tuned"
        return f"{word} with adapters" if adapters else word
    word = "frozen" if freeze is True else "partly frozen"
    word = f"{word} with adapters" if adapters else word
    return f"{word}, later unfrozen" if later else word


def _schedule(cfg) -> str:
    loop = cfg.get("train_cfg") or {}
    return (
        f"{loop['max_epochs']} epochs"
        if loop.get("max_epochs")
        else f"{loop['max_iters']} iterations"
        if loop.get("max_iters")
        else ""
    )


def _plain(name) -> str:
    """A type's name without its scope, as papers write it."""
    name = str(name).rpartition(".")[2]
    known = {
        "FasterRCNN": "Faster R-CNN",
        "CascadeRCNN": "Cascade R-CNN",
        "MaskRCNN": "Mask R-CNN",
        "NASFPN": "NAS-FPN",
    }
    return known.get(name, name)


def _short_labels(groups: list[RunGroup]) -> list[str] | None:
    """Labels by what differs; None where facts are unknown, do not tell all groups apart, or there is one group."""
    facts = [group.facts for group in groups]
    if len(groups) < 2 or None in facts:
        return None

    def differ(attribute: str) -> bool:
        return len({getattr(one, attribute) for one in facts}) > 1

    # A schedule stretched with the fraction says nothing that the fraction does not.
    schedules = {(one.share, one.schedule) for one in facts}
    shown = [name for name in ("training", "backbone", "decoder") if differ(name)]
    labels = []
    for one in facts:
        parts = [getattr(one, name) for name in shown]
        parts += [share_words(one.share)] if differ("share") else []
        parts += [one.schedule] if len(schedules) > len({share for share, _ in schedules}) and one.schedule else []
        labels.append(", ".join(parts))
    return labels if len(set(labels)) == len(labels) and all(labels) else None


def share_words(share: float) -> str:
    """0.1 -> '10 % data', 1 -> 'all data'."""
    return "all data" if share == 1 else f"{100 * share:.3g} % data"


def describe(group: RunGroup) -> None:
    """Build the group's model without weights and note its parameters; what fails is named in ``missing``."""
    from .describe import describe_model

    run = group.runs[0]
    if run.config is None:
        return
    try:
        group.description = describe_model(run.config)
    except Exception as error:  # foreign models may not build on meta tensors; the report goes on without
        run.missing.append(f"parameters and FLOPs ({type(error).__name__}: {str(error).splitlines()[0][:120]})")


def describe_all(groups: list[RunGroup]) -> None:
    """:func:`describe` for several groups; groups with the same model at the same size are described once."""
    known: dict[str, RunGroup] = {}
    for group in groups:
        cfg = group.runs[0].config
        pipelines = [leaf.get("pipeline") for leaf in training_datasets(cfg)] if cfg is not None else []
        like = known.setdefault(repr((cfg and cfg.get("model"), pipelines)), group)
        if like is group:
            describe(group)
        else:
            group.description = like.description


def mean_and_spread(values: list[float]) -> tuple[float, float | None] | None:
    """Mean and sample standard deviation (None below two values); None for no values."""
    if not values:
        return None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def spread_words(found: tuple[float, float | None] | None, digits: int) -> str:
    """'41.0 ± 1.4' of :func:`mean_and_spread`, the mean alone where it has no deviation; an empty cell for None."""
    if found is None:
        return MISSING
    mean, deviation = found
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def _label(run: RunRecord) -> str:
    return run.name if run.share in (None, 1) else f"{run.name}, {share_words(run.share)}"


def _essence(run: RunRecord) -> str:
    """The config without what may differ between seeds, as text."""
    if run.config is None:
        return re.sub(rf"^({'|'.join(_PLACES)})\b.*$", "", run.config_text, flags=re.M)
    kept = {key: value for key, value in run.config.to_dict().items() if key not in _PLACES and key[0] != "_"}
    kept["custom_hooks"] = [
        hook
        for hook in kept.get("custom_hooks") or []
        if str(hook.get("type", "")).rpartition(".")[2] not in _ONLOOKERS
    ]
    return repr(sorted(kept.items(), key=lambda item: item[0]))
