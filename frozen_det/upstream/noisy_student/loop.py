"""The Noisy Student loop: a teacher labels a pool, a student learns from labels and pseudo-labels, and becomes teacher.

Xie et al., "Self-training with Noisy Student improves ImageNet classification", arXiv 1911.04252, Algorithm 1. Every
stage is reused while its settings and inputs stay the same, and continues where it was killed
(:mod:`frozen_det.engine.runner.stages`). Refuses, before anything runs, keys that it does not know.
"""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.dist import is_distributed, is_main_process

from ...engine.runner.processes import by_first, first_logs, set_launcher
from ...engine.runner.stages import Stages
from ...engine.train_stage import settings_of, train_stage
from ...errors import InputError
from ...weights.atomic_write import write_json
from ...weights.feature_store import FeatureStore
from ..fixres.config import fixres_config, settings_of_part
from .label_stages import agreement_stage, data_digest, label_stage, select_stage, shard_stage
from .labelled_split import split_files, write_split
from .listings.listing import PART_SIZE, Listing, open_listing
from .loop_config import STUDENT, check_loop, classifier_config, student_config
from .pool import open_pool, refuse_overlap, sources_of


@dataclass(frozen=True)
class Model:
    """A trained classifier.

    Attributes:
        name: "teacher", "student-1", ..., "fixres".
        cfg: its training config.
        checkpoint: its weights, averaged where its config averages.
    """

    name: str
    cfg: object
    checkpoint: Path


@dataclass(frozen=True)
class LoopResult:
    """What a loop made.

    Attributes:
        models: teacher, students in order, and the one after the fix-resolution step if there is one.
        metrics: of each model's evaluation, by model and metric; empty without ``test``.
        manifests: the pseudo-labels that each student learned from.
        report: the HTML page.
    """

    models: list[Model]
    metrics: dict[str, dict[str, float]]
    manifests: list[Path]
    report: Path


def run_noisy_student(
    cfg,
    work_dir,
    log: Callable[[str], None] = print,
    store: FeatureStore | None = None,
    list_again: bool = False,
) -> LoopResult:
    """Run a loop, or what is left of it.

    Args:
        cfg: config of a loop, from :func:`frozen_det.config.load_config`.
        work_dir: where everything goes, seen by all processes: ``split/``, ``teacher/``,
            ``round-1/{labels,manifest,student}``, ..., ``fixres/``, ``report.html``.
        log: prints a line.
        store: where teachers and students that label read features of images seen before; None computes them.
        list_again: see :func:`~.listings.listing.open_listing`.

    Raises:
        InputError: a config that is no loop, or anything that one of the stages refuses.
    """
    check_loop(cfg)
    loop = _Loop(cfg, Path(work_dir), log, store, list_again)
    models, manifests = [loop.teacher()], []
    for number, settings in enumerate(cfg.rounds, start=1):
        labels = loop.labels(number, models[-1])
        manifests.append(loop.selection(number, settings, labels, models[-1]))
        models.append(loop.student(number, settings, models[-1], manifests[-1]))
        manifests[-1]["agreement"] = agreement_stage(loop, f"round {number} agreement", labels, models[-1])
    if cfg.get("fixres"):
        models.append(loop.fixres(models[-1]))
    metrics = loop.evaluations(models) if cfg.get("test", True) else {}
    return LoopResult(
        models, metrics, [found["manifest"] for found in manifests], loop.report(models, manifests, metrics)
    )


class _Loop:
    """One loop while it runs: its stages, in the order of the calls."""

    def __init__(self, cfg, work_dir: Path, log, store: FeatureStore | None, list_again: bool):
        self.cfg, self.work_dir, self.log, self.store = cfg, work_dir, first_logs(log), store
        self.stages, self.list_again = Stages(work_dir, memory="loop.json", log=log), list_again
        self.split = self._split() if cfg.get("split") else None
        self.guards = self._guards()  # here: what is none is refused before the teacher trains
        self.pool = open_pool(dict(list_file=str(self.split.pool)) if self.split else cfg.pool["sources"])
        refuse_overlap(self.pool)

    def _split(self):
        settings, files = dict(self.cfg.split), split_files(self.work_dir / "split")
        with self.stage(
            "split",
            {
                **settings,
                "data": data_digest([dict(folder=str(Path(settings["data_root"], settings.get("split", "train"))))]),
            },
            alone=True,
        ) as stage:
            if stage.todo:
                write_split(self.work_dir / "split", **settings)
                shutil.rmtree(self.work_dir / "pool", ignore_errors=True)  # another pool is listed from the beginning
            stage.outputs = [files.labelled, files.pool, files.classes]
        return files

    def stage(self, name: str, settings, inputs=(), **others):
        """A stage that says what has changed since it was done."""
        self._say_changes(name, settings, inputs)
        return self.stages(name, settings, inputs, **others)

    def _say_changes(self, name: str, settings, inputs) -> None:
        from ...engine.runner.stages import file_digest

        if not is_main_process():
            return
        told = self.work_dir / "settings" / f"{name.replace(' ', '-')}.json"
        text = json.dumps(settings, default=str).replace(str(self.work_dir), "WORK_DIR")
        now = dict(
            _leaves({"settings": json.loads(text), "inputs": {Path(path).name: file_digest(path) for path in inputs}})
        )
        if told.is_file() and name in self.stages.done:
            before = json.loads(told.read_text(encoding="utf-8"))
            changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            if changed:
                more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
                self.log(f"[{name}] changed since it was done: {', '.join(changed[:3])}{more}")
        write_json(told, now)

    # -- models --------------------------------------------------------------------------------------------------

    def teacher(self) -> Model:
        """The first teacher, trained on the labelled images, or given."""
        part = self.cfg.teacher
        cfg = classifier_config(part, self.work_dir / "teacher", self.split)
        top_k, count = (self.cfg.get("labelling") or {}).get("top_k"), cfg.model.get("num_classes")
        if top_k is not None and isinstance(count, int) and top_k > count:
            raise InputError(
                f"expected labelling.top_k up to {count}, the teacher's classes, in {self.cfg.filename}, got {top_k}."
            )
        if part.get("weights"):
            from ...models.backbone_sources.weights import weights_file

            cfg.model.weights = part["weights"]
            file = weights_file(part["weights"])
            return Model("teacher", cfg, None if file is None else Path(file))
        return Model("teacher", cfg, self._trained("teacher", cfg, part))

    def student(self, number: int, settings, teacher: Model, found: dict) -> Model:
        """A round's student."""
        cfg = classifier_config(settings, self.work_dir / f"round-{number}" / "student", self.split)
        chosen = {key: settings[key] for key in STUDENT if key in settings}
        student_config(cfg, found["dataset"], chosen, teacher.checkpoint)
        warm = [teacher.checkpoint] if chosen.get("start") == "warm" and teacher.checkpoint else []
        return Model(
            f"student-{number}",
            cfg,
            self._trained(f"round {number} student", cfg, settings, [found.get("shards", found["manifest"]), *warm]),
        )

    def fixres(self, student: Model) -> Model:
        """The last student, tuned at a larger resolution on labelled images without augmentation.

        The paper tunes for 1.5 epochs with the shallow layers frozen. What trains is head and last norm's statistics,
        as :mod:`frozen_det.upstream.fixres.config` has it, and the deep modules that ``fixres.whole`` names.
        """
        part = self.cfg.fixres
        base = classifier_config(part if part.get("config") else self.cfg.rounds[-1], self.work_dir, self.split)
        cfg = fixres_config(base, str(student.checkpoint), settings_of_part(part))
        if part.get("whole"):
            cfg.model.whole = list(part.whole)
        cfg.work_dir = str(self.work_dir / "fixres")
        return Model("fixres", cfg, self._trained("fixres", cfg, part, [student.checkpoint]))

    def _trained(self, name: str, cfg, part, inputs=()) -> Path:
        lists = [self.split.labelled, self.split.classes] if self.split else []
        told = cfg.copy()
        if not lists:
            told["data"] = data_digest(sources_of(_labelled(cfg)))
        inputs = [*lists, *inputs]
        self._say_changes(name, settings_of(told), inputs)
        self.log(f"[{name}] {Path(cfg.filename).stem}, {cfg.train_cfg.get('max_epochs', '?')} epochs")
        return train_stage(name, told, inputs, self.stages, part.get("checkpoint"))

    # -- pseudo-labels --------------------------------------------------------------------------------------------

    @cached_property
    def listing(self) -> Listing:
        """The pool, listed once for all rounds."""
        size = (self.cfg.get("labelling") or {}).get("part_size", PART_SIZE)

        def listed() -> Listing:
            with open_listing(self.pool.sources, self.work_dir / "pool", size, self.list_again, self.log) as listing:
                return listing

        return by_first(listed)

    def labels(self, number: int, teacher: Model) -> Path:
        """Label the pool with a teacher; returns the folder of the parts."""
        return label_stage(
            self,
            f"round {number} labels",
            self.work_dir / f"round-{number}" / "labels",
            teacher,
            self.listing,
            dict(self.cfg.get("labelling") or {}),
            self._classes(teacher.cfg),
        )

    def selection(self, number: int, settings, labels: Path, teacher: Model) -> dict:
        """Filter and balance; returns `manifest` (path), `dataset` (config) and `summary` (path)."""
        chosen = {"min_confidence": 0.3, "per_class": None, "seed": 0}
        chosen = {key: settings.get(key, default) for key, default in chosen.items()}
        if settings.get("balanced", "copies") != "copies":
            chosen["balanced"] = settings["balanced"]
        found = select_stage(
            self,
            f"round {number} selection",
            labels,
            self.work_dir / f"round-{number}" / "manifest",
            chosen,
            self.guards,
            self._classes(teacher.cfg),
        )
        if settings.get("shards") is None:
            return found
        shards = dict(settings["shards"], seed=chosen["seed"], soft=settings.get("labels", STUDENT["labels"]) == "soft")
        folder = self.work_dir / f"round-{number}" / "shards"
        return shard_stage(self, f"round {number} shards", found, folder, shards)

    def _classes(self, cfg) -> tuple[str, ...]:
        """Names of the labelled images' classes."""
        if self.split:
            return tuple(self.split.classes.read_text(encoding="utf-8").split("\n")[:-1])
        from ...engine.runs import host_scope
        from ...registry import DATASETS

        dataset = {**_labelled(cfg).to_dict(), "in_memory": False}
        with host_scope():
            return tuple(DATASETS.build(dataset).metainfo["classes"])

    def _guards(self) -> list[dict]:
        """Sources of images that must not be in the pool: the labelled ones, those of `guards`, what is tested on.

        Raises:
            InputError: one of them is none, or is not there.
        """
        sources = []
        given = self.cfg.get("guards") or []
        for one in [given] if isinstance(given, dict) else given:
            sources += sources_of(one) if isinstance(one, dict) and "type" in one else [one]
        parts = [self.cfg.teacher, *self.cfg.rounds]
        loaded = [classifier_config(part, self.work_dir, self.split) for part in parts]
        for cfg in loaded:
            for split in ("train", "val", "test"):
                dataset = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
                if dataset is not None:
                    sources += sources_of(dataset)
        unique = {json.dumps(source, sort_keys=True, default=str): source for source in sources}
        sources = list(unique.values())
        try:
            open_pool(sources)
        except InputError as error:
            raise InputError(f"guards, and the images that are trained and tested on: {error}") from error
        return sources

    # -- results --------------------------------------------------------------------------------------------------

    def evaluations(self, models: list[Model]) -> dict[str, dict[str, float]]:
        """Each model on its own test data."""
        return {model.name: self._evaluated(model) for model in models if model.cfg.get("test_dataloader")}

    def _evaluated(self, model: Model) -> dict[str, float]:
        from ...engine.runs import host_scope, new_runner

        out = self.work_dir / "metrics" / f"{model.name}.json"
        settings = {
            key: value
            for key, value in settings_of(model.cfg).items()
            if key in ("model", "test_dataloader", "test_evaluator", "test_cfg")
        }
        with self.stage(f"test {model.name}", settings, [model.checkpoint] if model.checkpoint else []) as stage:
            if stage.todo:
                run = _test_config(model)
                run.work_dir = str(out.parent / model.name)
                if is_distributed():
                    set_launcher(run, "pytorch", self.log)
                with host_scope():
                    metrics = new_runner(run).test()
                by_first(lambda: write_json(out, {name: float(value) for name, value in metrics.items()}))
            stage.outputs = [out]
        return json.loads(out.read_text(encoding="utf-8"))

    def report(self, models: list[Model], found: list[dict], metrics) -> Path:
        """The page, written each time."""
        from .page import write_page

        page = self.work_dir / "report.html"
        with self.stages("report", always=True, alone=True) as stage:
            if stage.todo:
                page = write_page(self.work_dir, self.cfg, models, found, metrics, self.stages)
            stage.outputs = [page]
        return page


def _test_config(model: Model):
    """A config that only tests: nothing of the training data is built."""
    run = copy.deepcopy(model.cfg)
    run.load_from, run.resume = str(model.checkpoint) if model.checkpoint else None, False
    run.experiment_name = f"test-{model.name}"
    for key in (
        "train_dataloader",
        "train_cfg",
        "optim_wrapper",
        "param_scheduler",
        "auto_scale_lr",
        "val_dataloader",
        "val_cfg",
        "val_evaluator",
    ):
        run.pop(key, None)
    if model.checkpoint is not None:
        run.model.weights = None
    return run


def _labelled(cfg):
    dataset = cfg.train_dataloader.dataset
    return dataset.labelled if "labelled" in dataset else dataset


def _leaves(node, prefix: str = ""):
    """(``a.b.0``, value as text) of every leaf."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if not pairs:
        yield prefix, json.dumps(node)
        return
    for key, value in pairs:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
