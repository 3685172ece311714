"""What ``frozen-det fixres`` does: tune at the test size and prove what stayed, measure before and after, sweep sizes.

Reported are training and test size, before and after, at the last epoch. Everything that did not move is compared bit
for bit with the classifier that was given; a tensor that moved and should not have stops the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...engine.runner.processes import by_first, first_logs
from ...errors import InputError
from ...pages.blocks import Section, Text
from ...weights.reading.recorded_config import read_recorded
from .adaptations import NormStatistics, PooledActivations
from .classifier import last_norm
from .config import FixResSettings, check_classifier, eval_settings, fixres_config, train_size, without_noise
from .object_size import object_size_section, study_object_sizes
from .page import command_section, sweep_section, tuning_section, write_resolution_report
from .resolution import SizedImages, set_statistics
from .resolution_sweep import adapt_halves, adapt_on, load_model, sizes_and_ratios, sweep


@dataclass(frozen=True)
class Request:
    """The request to :func:`run_fixres`; see the command's help.

    Attributes:
        checkpoint: of the finished classifier; None takes ``model.weights``.
        work_dir: for checkpoints, report and record.
        settings: of the tuning.
        sizes, crop_ratios: of the sweep; no sizes, no sweep.
        also: further checkpoints of the sweep, by name.
        statistics_only, parametric: adapting without gradients: the last norm's statistics, or the distribution of the
            pooled activations.
        split_half, fraction, split_seed: which images for it.
        resume: continue with the tuning.
        command: as typed, for the page.
    """

    checkpoint: str | None
    work_dir: Path
    settings: FixResSettings = field(default_factory=FixResSettings)
    sizes: Sequence[int] = ()
    crop_ratios: Sequence[float] = ()
    also: dict = field(default_factory=dict)
    statistics_only: bool = False
    parametric: bool = False
    split_half: bool = False
    fraction: float = 1.0
    split_seed: int = 0
    resume: bool = False
    command: str = "frozen-det fixres"


def run_fixres(cfg, request: Request, log: Callable[[str], None] = print) -> Path:
    """Run the requested steps and write the report.

    Args:
        cfg: a loaded classifier's config.
        request: the request.
        log: prints a line.

    Returns:
        the HTML page; ``fixres.json`` and ``fixres.md`` are beside it.

    Raises:
        InputError: a config of something else, options that contradict each other, or a frozen tensor that moved.
    """
    log = first_logs(log)
    check_classifier(cfg)
    cfg = without_noise(cfg)
    if request.statistics_only and request.parametric:
        raise InputError("expected --statistics-only or --parametric, got both: each is measured on its own.")
    adapts = request.statistics_only or request.parametric
    if request.split_half and not adapts:
        raise InputError(
            "expected --split-half together with --statistics-only or --parametric, got it alone: halves of the test "
            "images are for adapting without labels."
        )
    record = dict(
        subtitle=f"{Path(cfg.filename).stem}: trained at {train_size(cfg)} px",
        command=request.command,
        config=Path(cfg.filename).stem,
        train_size=train_size(cfg),
    )
    images, sections = SizedImages(cfg), []
    _study(cfg, images, request, record, sections)
    if adapts:
        _adapt(cfg, images, request, record, sections, log)
    elif request.settings.test_size or not request.sizes:
        tuned = tune(cfg, request.checkpoint, request.work_dir, request.settings, request.resume, images, log)
        record.update(tuned)
        sections.append(tuning_section(record))
    if request.sizes and not adapts:
        _sweep(cfg, images, request, record, sections, log)
    sections.append(command_section(request.command))
    return by_first(lambda: write_resolution_report(record, sections, request.work_dir, "Train and test resolution"))


def tune(
    cfg,
    checkpoint,
    work_dir,
    settings: FixResSettings,
    resume: bool = False,
    images: SizedImages | None = None,
    log: Callable[[str], None] = print,
) -> dict:
    """Tune at the test size through the Runner; measured before and after at both sizes.

    Args:
        cfg: a loaded classifier's config.
        checkpoint: to start from; None takes ``model.weights``.
        work_dir: of the Runner.
        settings: see :class:`FixResSettings`.
        resume: continue from the newest checkpoint of `work_dir`.
        images: the test images; built from `cfg` by default.
        log: prints a line.

    Returns:
        the record: `before`, `after` (rows of a sweep), `checkpoint`, `moved`, `frozen_digest`, `num_frozen`,
        `moved_strides`, `hand_over`.

    Raises:
        InputError: a tensor moved that must not.
    """
    run = tuning_config(cfg, checkpoint, work_dir, settings)
    if resume:
        _refuse_other_tuning(run)
    images = images or SizedImages(cfg)
    ratio = run.val_dataloader.dataset.transform.crop_ratio
    wanted = [(size, ratio) for size in sorted({run.fixres["train_size"], run.fixres["test_size"]})]
    parent = load_model(cfg, checkpoint)
    before = sweep(parent, images, wanted, "before", log)
    result = train_runner(run, work_dir, resume)
    tuned = load_model(run, result)
    after = sweep(tuned, images, wanted, "after", log)
    proof = compare(parent, tuned)
    strides = moved_strides(run, run.model.weights, result)
    return dict(
        before=before,
        after=after,
        checkpoint=result.name,
        test_size=run.fixres["test_size"],
        train_size=run.fixres["train_size"],
        settings=asdict(settings),
        epochs=run.train_cfg.max_epochs,
        transform=run.fixres["transform"],
        moved_strides=strides,
        hand_over=hand_over_words(strides),
        **proof,
    )


def tuning_config(cfg, checkpoint, work_dir, settings: FixResSettings):
    """The Runner's config of a tuning in `work_dir`."""
    run = fixres_config(cfg, None if checkpoint is None else str(checkpoint), settings)
    run.work_dir = str(work_dir)
    return run


def train_runner(run, work_dir, resume: bool = False) -> Path:
    """Train by a tuning's config, or go on; returns the last checkpoint."""
    from ...engine.runs import train

    return train(run, f"fixres-{Path(work_dir).name}", resume, how="the same command with --resume")


def _refuse_other_tuning(run) -> None:
    """Refuse to go on with a tuning for another size, transform or norm: report and card would be of the last alone.

    Raises:
        InputError: the work directory's newest checkpoint is of one.
    """
    from ...engine.runner.stored_settings import differences, settings_of_text
    from ...weights.kept_checkpoints import latest_checkpoint
    from ...weights.loading import meta_of, read

    path = latest_checkpoint(run.work_dir)
    text = path and meta_of(read(path), str(path)).get("cfg")
    before = settings_of_text(text) if isinstance(text, str) else None
    if before is None:
        return
    told = [_tuning_of(one) for one in (before, run.to_dict())]
    changed = list(differences(*told))
    if changed:
        key, old, new = changed[0]
        raise InputError(
            f"expected the tuning that wrote {path}, with {key}={old!r}, to go on with, got {new!r}: give the options "
            "it was begun with, or begin another one without --resume in another --work-dir."
        )


def _tuning_of(cfg) -> dict:
    transforms = {
        name: (cfg.get(f"{name}_dataloader") or {}).get("dataset", {}).get("transform") for name in ("train", "val")
    }
    return dict(
        fixres=cfg.get("fixres"), **{key: (cfg.get("model") or {}).get(key) for key in ("norm", "affine")}, **transforms
    )


def compare(parent, tuned) -> dict:
    """What moved between two classifiers, and the digest of everything else.

    Raises:
        InputError: something moved that `tuned` says must not.
    """
    from ...weights.digest import fingerprint

    now, then = fingerprint(tuned.state_dict()).tensors, fingerprint(parent.state_dict()).tensors
    moved = sorted(name for name in now if now[name] != then.get(name))
    wrong = [name for name in moved if name not in tuned.tuned]
    if wrong:
        raise InputError(
            f"expected only {sorted(tuned.tuned)} to move, but {wrong[0]} differs from the classifier "
            f"that was given ({len(wrong)} such tensors). Start again from the same checkpoint."
        )
    rest = fingerprint({name: value for name, value in tuned.state_dict().items() if name not in moved})
    return dict(moved=moved, frozen_digest=rest.digest, num_frozen=len(rest.tensors))


def moved_strides(cfg, before, after) -> dict[str, list[int]]:
    """Which of the features that a detector would take differ between two sets of weights: strides, by one image.

    Returns:
        ``{"moved": [...], "same": [...]}``, bit for bit on one random image of 64 x 64 px.
    """
    import torch

    from ...models.detectors.trained_backbone import trained_backbone

    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2
    with torch.no_grad():
        one, two = (trained_backbone(cfg.model, weights, cfg.filename) for weights in (before, after))
        pairs = list(zip(one.strides, one(image), two(image)))
    return dict(
        moved=[int(s) for s, a, b in pairs if not torch.equal(a, b)],
        same=[int(s) for s, a, b in pairs if torch.equal(a, b)],
    )


def hand_over_words(strides: dict[str, list[int]]) -> str:
    """What a frozen detector on this backbone will notice."""
    if not strides["moved"]:
        return (
            f"Handed over to a detector nothing changes: the features of strides {strides['same']} are bit for bit "
            "those before. What changed comes after them."
        )
    return (
        f"Handed over to a detector, the features of stride {', '.join(map(str, strides['moved']))} differ "
        f"(through the last norm); those of strides {strides['same']} are bit for bit as before. No other change "
        "in downstream features."
    )


def _study(cfg, images: SizedImages, request: Request, record: dict, sections: list[Section]) -> None:
    """Object sizes by the transforms, where training crops at random."""
    tested = eval_settings(cfg)
    transform = ((cfg.get("train_dataloader") or {}).get("dataset") or {}).get("transform") or {}
    if (cfg.get("fixres") or {}).get("train_size"):
        transform = dict(type="frozen_det.TrainTransform", size=cfg.fixres.train_size)
    try:
        # Trained and tested at one size: that is what the suggested size is for.
        size = min(tested["size"], transform.get("size", tested["size"])) if hasattr(transform, "get") else 0
        found = study_object_sizes(transform, size, tested["crop_ratio"], images.image_sizes_hw(), step=_step(size))
    except InputError as error:
        sections.append(Section("Object size", [Text(f"Not studied: {error}")]))
        return
    record["object_sizes"] = found.to_dict()
    sections.append(object_size_section(found))


def _step(size: int) -> int:
    """Multiples of 32 px for large images, of 4 px for small ones."""
    return 32 if size >= 128 else 4


def _sweep(cfg, images: SizedImages, request: Request, record: dict, sections: list, log) -> None:
    wanted = sizes_and_ratios(request.sizes, request.crop_ratios or [images.settings["crop_ratio"]])
    arms = {"before" if request.also or "checkpoint" in record else "classifier": request.checkpoint, **request.also}
    if "checkpoint" in record:
        arms["tuned"] = str(Path(request.work_dir) / record["checkpoint"])
    rows = [row for label, path in arms.items() for row in sweep(load_model(cfg, path), images, wanted, label, log)]
    record["rows"] = rows
    sections.append(sweep_section(rows, {label: _trained_at(path, record) for label, path in arms.items()}))


def _trained_at(path, record: dict) -> int:
    """Training size of a checkpoint: of the config beside it, if it is in a work directory."""
    if path is None or not Path(path).exists():
        return record["train_size"]
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    # The host writes the config there beside `last_checkpoint`; another folder's Python files are none of ours.
    files = sorted(folder.glob("*.py")) if (folder / "last_checkpoint").is_file() else []
    return train_size(read_recorded(files[0])) if len(files) == 1 else record["train_size"]


def _adapt(cfg, images: SizedImages, request: Request, record: dict, sections: list, log) -> None:
    """Without gradients: the last norm's statistics or the pooled activations, from test halves or training images."""
    tested = eval_settings(cfg)
    sizes = request.sizes or [request.settings.test_size or tested["size"]]
    wanted = sizes_and_ratios(sizes, request.crop_ratios or [request.settings.crop_ratio or tested["crop_ratio"]])
    model = load_model(cfg, request.checkpoint)
    if request.parametric:
        adaptation, what = (
            PooledActivations(train_size(cfg), tested["crop_ratio"]),
            "A mapping of the pooled activations",
        )
    else:
        norm = request.settings.norm[0] if request.settings.norm else last_norm(model._backbone_cfg, model.num_classes)
        adaptation, what = NormStatistics(norm), f"Statistics of {norm}"
    if request.split_half:
        rows = adapt_halves(model, images, wanted, adaptation, request.split_seed, log)
        text = (
            f"{what}: each image was measured under that of the half it does not belong to; no label was used. "
            f"A share of {len(images)} images is uncertain by about "
            f"{100 * (0.25 / len(images)) ** 0.5:.1f} points at most (one standard error); the sign test pairs the "
            "images and sees smaller differences."
        )
    else:
        if len(wanted) != 1:
            raise InputError(
                f"expected one size when adapting on training images, got {len(wanted)}; with "
                "--split-half several are measured."
            )
        source = SizedImages(cfg, "train")
        rows, learned = adapt_on(
            model, source, images, *wanted[0], adaptation, request.fraction, request.split_seed, log
        )
        text = f"{what} from {rows[1]['num_images_adapted']} training images; nothing trained."
        if request.parametric:
            text += (
                " To test with it: model.type=frozen_det.EqualisedClassifier "
                f"model.equalise=[{learned.scale:.6g},{learned.shift:.6g}]."
            )
        else:
            set_statistics(model, learned)
            by_first(lambda: _save(model, cfg, wanted[0], request.work_dir))
    record["rows"] = rows
    section = sweep_section(rows)
    section.blocks.insert(0, Text(text))
    sections.append(section)


def _save(model, cfg, wanted: tuple[int, float], work_dir) -> None:
    """The adapted classifier as a weights file with its card."""
    import dataclasses

    from safetensors.torch import save_file

    from ...weights.atomic_write import replacing
    from ...weights.card import KEY
    from ...weights.digest import fingerprint

    state = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    card = model.weights_card(
        f"{Path(cfg.filename).stem}, statistics at {wanted[0]} px", dict(input_size=wanted[0], crop_ratio=wanted[1])
    )
    card = dataclasses.replace(card, digest=fingerprint(state).digest)
    with replacing(Path(work_dir) / "adapted.safetensors") as partial:
        save_file(state, str(partial), metadata={KEY: card.to_json()})
