"""From a classifier to a measured frozen detector: weights, FixRes, export, training, evaluation, report, in turn.

A chain's config says where the weights come from (`upstream`), whether they are tuned at their test resolution first
(`fixres`), and which detector freezes them (`detector`). Every
stage is reused while nothing it depends on has changed (:mod:`frozen_det.engine.runner.stages`). The digest of the
exported backbone is compared with the one that the detector's training proved: what came out of the classifier is what
stayed frozen.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config.parts import check_parts, flat
from ..engine.runner.stages import Stages, set_aside
from ..engine.train_stage import data_files, settings_of, train_stage
from ..errors import InputError, refuse_unknown
from ..upstream.fixres.config import SETTINGS, settings_of_part
from ..weights.atomic_write import write_json

KEYS = ("upstream", "fixres", "detector", "work_dir")
UPSTREAM = {"given": {"type", "weights"}, "train": {"type", "config", "options", "checkpoint"}}
DETECTOR = {"config", "options", "checkpoint"}
FIXRES = {"config", "options", *SETTINGS}
BACKBONE = "backbone.safetensors"


@dataclass(frozen=True)
class ChainResult:
    """What a chain made.

    Attributes:
        backbone: the exported weights file.
        checkpoint: the detector's, that was evaluated.
        metrics: of the evaluation, by name.
        report: the HTML page.
        proven: what the checkpoint proves to be frozen is bit for bit what was exported; None where the detector's
            config has no FrozenProofHook.
    """

    backbone: Path
    checkpoint: Path
    metrics: dict[str, float]
    report: Path
    proven: bool | None


def run_chain(cfg, work_dir, log: Callable[[str], None] = print) -> ChainResult:
    """Run a chain, or what is left of it.

    Args:
        cfg: config of a chain, from :func:`frozen_det.config.load_config`.
        work_dir: where everything goes: ``upstream/``, ``fixres/``, ``backbone.safetensors``,
            ``detector/``, ``report.html``.
        log: prints a line.

    Raises:
        InputError: a config that is no chain, weights that do not fit the detector's backbone, or a proof that fails.
    """
    check_chain(cfg)
    work_dir = Path(work_dir)
    stages = Stages(work_dir, times=work_dir / "detector" / "stages.json", log=log)
    detector = _loaded(cfg.detector, work_dir / "detector")
    source = _Given(cfg.upstream.weights, detector) if cfg.upstream.type == "given" else _trained(cfg, work_dir, stages)
    if cfg.get("fixres"):
        source = _fixed(cfg, source, work_dir / "fixres", stages)
    backbone = _export(source, work_dir / BACKBONE, stages)
    _freeze_onto(detector, backbone)
    data = _write_data("data", detector, stages)
    checkpoint = train_stage("train", detector, [backbone, *data], stages, cfg.detector.get("checkpoint"))
    proven = _compare_proof(backbone, checkpoint, detector)
    metrics = _evaluate(detector, checkpoint, stages)
    with stages("report", always=True):
        from ..reports.write import write_report

        report = write_report([work_dir / "detector"], work_dir / "report.html")[0]
    return ChainResult(backbone, checkpoint, metrics, report, proven)


def check_chain(cfg) -> None:
    """Refuse what is no chain's config, before anything is run.

    Raises:
        InputError: a key that is missing, unknown, or not built yet.
    """
    refuse_unknown(cfg, KEYS, f"a chain's config ({cfg.filename})")
    upstream, detector, fixres = cfg.get("upstream") or {}, cfg.get("detector") or {}, cfg.get("fixres") or {}
    kind = upstream.get("type")
    if kind not in UPSTREAM:
        raise InputError(
            f"expected upstream=dict(type='given', weights=...) or dict(type='train', config=...) in "
            f"{cfg.filename}, got upstream={dict(upstream)}."
        )
    source = "weights" if kind == "given" else "config"
    for name, part, known, needed in (
        ("upstream", upstream, UPSTREAM[kind], source),
        ("detector", detector, DETECTOR, "config"),
        ("fixres", fixres, FIXRES, "config" if fixres and kind == "given" else None),
    ):
        refuse_unknown(part, known, f"{name} in {cfg.filename}")
        if needed and not part.get(needed):
            raise InputError(f"expected {name}.{needed} in {cfg.filename}, got none.")
        if part.get("checkpoint") not in (None, "best", "last"):
            raise InputError(
                f"expected {name}.checkpoint to be 'best' or 'last' in {cfg.filename}, got {part['checkpoint']!r}."
            )
    check_parts(cfg)


# ---- weights -------------------------------------------------------------------------------------------------------


class _Given:
    """Weights that exist: the detector's own backbone, filled by strict loading."""

    def __init__(self, weights, detector):
        from ..models.backbone_sources.weights import weights_file
        from ..models.detectors.trained_backbone import backbone_config

        self.config = {**backbone_config(detector.model, detector.filename), "weights": weights, "freeze": True}
        self.config.pop("adapters", None)
        file = weights_file(weights)
        if file is not None and not file.is_file():
            raise InputError(f"expected the weights of upstream.weights, but {file} does not exist.")
        self.inputs = [] if file is None else [file]
        self.settings = {"given": weights, "body": self.config["body"], "strides": self.config.get("strides")}

    def load(self):
        from ..models import FrozenBackbone

        backbone = FrozenBackbone(**{k: v for k, v in self.config.items() if k != "type"})
        backbone.init_weights()
        return backbone.eval()


class _Trained:
    """The backbone of a model that the chain trained."""

    def __init__(self, cfg, checkpoint: Path):
        self.cfg, self.checkpoint = cfg, checkpoint
        self.inputs, self.settings = [checkpoint], {"trained": str(cfg.filename), "model": cfg.model.to_dict()}

    def load(self):
        from ..models.detectors.trained_backbone import trained_backbone

        return trained_backbone(self.cfg.model, self.checkpoint, self.cfg.filename)


def _trained(cfg, work_dir: Path, stages: Stages) -> _Trained:
    """Train the upstream model by its config."""
    upstream = _loaded(cfg.upstream, work_dir / "upstream")
    data = _write_data("upstream data", upstream, stages)
    return _Trained(upstream, train_stage("upstream", upstream, data, stages, cfg.upstream.get("checkpoint")))


def _fixed(cfg, source, work_dir: Path, stages: Stages) -> _Trained:
    """Tune the classifier at its test resolution: its report, and what changed, are in `work_dir`."""
    from ..upstream.fixres.run import Request, run_fixres, tuning_config
    from ..weights.kept_checkpoints import latest_checkpoint

    part = cfg.fixres
    classifier = _loaded(part if part.get("config") else cfg.upstream, work_dir)
    weights = cfg.upstream.weights if cfg.upstream.type == "given" else str(source.checkpoint)
    settings = settings_of_part(part)
    run = tuning_config(classifier, weights, work_dir, settings)
    with stages("fixres", settings_of(run), source.inputs) as stage:
        if stage.todo:
            if not stage.goes_on:
                set_aside(
                    [path for path in work_dir.glob("*") if not path.name.startswith("previous-")], work_dir, stages.log
                )
            command = f"frozen-det chain {Path(cfg.filename).stem}"
            request = Request(weights, work_dir, settings, resume=stage.goes_on, command=command)
            run_fixres(classifier, request, stages.log)
            checkpoint = latest_checkpoint(work_dir)
            assert checkpoint is not None, work_dir
            stage.outputs = [checkpoint, work_dir / "fixres.json"]
    stages.log(json.loads((work_dir / "fixres.json").read_text(encoding="utf-8"))["hand_over"])
    return _Trained(run, stage.outputs[0])


def _export(source, path: Path, stages: Stages) -> Path:
    from ..export import export_backbone

    with stages("export", source.settings, source.inputs) as stage:
        if stage.todo:
            card = export_backbone(source.load(), path)
            stages.log(f"backbone: {card.architecture}, sha256 {str(card.digest)[:12]}, {path}")
        stage.outputs = [path]
    return path


# ---- the detector --------------------------------------------------------------------------------------------------


def _loaded(part, work_dir: Path):
    """The training config that `upstream` or `detector` names, with its overrides."""
    from ..config import load_config

    cfg = load_config(part.config, dict(flat(part.get("options") or {})))
    cfg.work_dir = str(work_dir)
    return cfg


def _freeze_onto(detector, backbone: Path) -> None:
    """Let the detector's backbone start from the exported weights."""
    from ..models.detectors.trained_backbone import backbone_config

    found = backbone_config(detector.model, detector.filename)
    holder = detector.model.detector if "detector" in detector.model else detector.model
    holder.backbone = {**found, "weights": str(backbone)}


def _write_data(name: str, cfg, stages: Stages) -> list[Path]:
    """Build the data sets once (some write themselves on first use); returns the files that describe them."""
    from mmdet.registry import DATASETS

    from ..engine.runs import host_scope

    loaders = [cfg.get(f"{split}_dataloader") for split in ("train", "val", "test")]
    wanted = {repr(loader.dataset.to_dict()): loader.dataset for loader in loaders if loader}
    with stages(name, sorted(wanted)) as stage:
        if stage.todo:
            with host_scope():
                for dataset in wanted.values():
                    DATASETS.build(copy.deepcopy(dataset))
        stage.outputs = data_files(cfg)
    return list(stage.outputs)


def _compare_proof(backbone: Path, checkpoint: Path, detector) -> bool | None:
    """Whether the training proved the very tensors that were exported.

    Raises:
        InputError: it proved other ones.
    """
    from ..weights.digest import Fingerprint, canonical, fingerprint
    from ..weights.loading import meta_of, read, state_dict_of

    recorded = (meta_of(read(checkpoint), str(checkpoint)).get("frozen") or {}).get("backbone")
    if recorded is None:
        return None
    exported = state_dict_of(read(backbone), str(backbone))
    # The classifier's backbone may go further than the detector's, which ends at its last stride.
    exported = {name: value for name, value in exported.items() if canonical(name) in recorded["tensors"]}
    moved = Fingerprint(recorded["digest"], recorded["tensors"]).first_difference(fingerprint(exported))
    if moved is not None:
        raise InputError(
            f"the detector's checkpoint {checkpoint} proves another backbone than the exported "
            f"{backbone}: {moved} differs. Remove {detector.work_dir} and run the chain again."
        )
    return True


def _evaluate(cfg, checkpoint: Path, stages: Stages) -> dict[str, float]:
    """Test the checkpoint by the detector's config; numbers go to ``metrics.json`` in the work directory."""
    from ..engine.runs import host_scope, new_runner

    out = stages.work_dir / "metrics.json"
    with stages("evaluate", settings_of(cfg), [checkpoint]) as stage:
        if stage.todo:
            run = copy.deepcopy(cfg)
            run.load_from, run.experiment_name = str(checkpoint), f"evaluate-{stages.work_dir.name}"
            with host_scope():
                metrics = new_runner(run).test()
            numbers = {name: float(value) for name, value in metrics.items()}
            write_json(out, numbers)
        stage.outputs = [out]
    return json.loads(out.read_text(encoding="utf-8"))
