"""One run of a sweep: what it is, how it ended, and with which others it may share a pass."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

# Where a run's files are, and whether it continues from a checkpoint, does not make it another run.
_NOT_SETTINGS = ("work_dir", "resume", "load_from", "launcher")


@dataclass
class SweepRun:
    """One run of a sweep.

    Attributes:
        config: path or shipped name; name: of the config's file.
        seed, share: of the run and of its data.
        folder: its work directory.
        arguments: of ``frozen-det train`` behind the config.
        options: ``--cfg-options`` as typed; the test gets them too.
        settings: resolved config as text; another text is another run.
        save_best: the metric that the config keeps its best checkpoint by, if it names one.
        weight: expected length among the runs of the sweep.
        second_test: ``--cfg-options`` of a second test of the final checkpoint, on other images; empty for none.
    """

    config: str
    name: str
    seed: int
    share: float
    folder: Path
    arguments: list[str]
    options: list[str]
    settings: str
    save_best: str | None = None
    weight: float = 1.0
    second_test: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What a line on the terminal calls it."""
        return f"{self.name} fraction {self.share:g} seed {self.seed}"

    @property
    def digest(self) -> str:
        """Short name of the settings."""
        return hashlib.sha256(self.settings.encode()).hexdigest()[:16]


@dataclass
class BegunRun:
    """A run whose folder this process holds."""

    place: str
    run: SweepRun
    memory: dict = field(default_factory=dict)
    is_tested: bool = False


@dataclass
class SweepResult:
    """How the runs ended: folders with results, and (run, exit code) of those that failed."""

    done: list[Path] = field(default_factory=list)
    reused: int = 0
    failed: list[tuple[SweepRun, str]] = field(default_factory=list)


# Of a backbone, what may differ between runs that share its pass.
_OWN = ("adapters", "freeze", "norm_momentum", "strides")


def alike(numbered: list[tuple[int, SweepRun]]) -> list[list[tuple[int, SweepRun]]]:
    """Units of runs whose backbone and data are the same by config. It decides about time alone: what turns out to
    differ between the runs of a unit is computed for each."""
    from ..models.detectors.swapping import innermost

    units: dict[str, list[tuple[int, SweepRun]]] = {}
    for number, run in numbered:
        cfg = json.loads(run.settings)
        backbone, loader = innermost(cfg.get("model") or {}).get("backbone"), cfg.get("train_dataloader")
        kind = str(number)
        if isinstance(backbone, dict) and isinstance(loader, dict):
            seed = (loader.get("sampler") or {}).get("seed", (cfg.get("randomness") or {}).get("seed"))
            shared = {key: value for key, value in backbone.items() if key not in _OWN}
            kind = json.dumps([shared, loader, seed, cfg.get("val_dataloader")], sort_keys=True)
        units.setdefault(kind, []).append((number, run))
    return list(units.values())


def with_checkpoint(test: list[str], folder: str | Path) -> list[str]:
    """The arguments of a test with the newest checkpoint of the training in `folder` behind the config.

    Raises:
        InputError: the training left none.
    """
    from ..weights.kept_checkpoints import latest_checkpoint

    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        raise InputError("training left no checkpoint (default_hooks.checkpoint)")
    verb, config, *rest = test
    return [verb, config, str(checkpoint), *rest]


def settings_text(cfg) -> str:
    """The resolved config as text, without what does not make it another run."""
    kept = {key: value for key, value in cfg.to_dict().items() if key not in _NOT_SETTINGS}
    return json.dumps(kept, sort_keys=True, default=repr)
