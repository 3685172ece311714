"""New classes for a trained detector: another member on its frozen backbone is trained, the detector stays as it is.

The new member has the detector's own config with other data. At the end both are measured, alone, beside each other and
joined, and the page ``extension.md`` shows it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.readers.annotation_check import read_classes
from ..datasets.readers.class_names import as_seen, check_classes, few_names
from ..datasets.readers.folder_layout import resolve_user_data
from ..engine.runner.stages import Stages
from ..engine.train_stage import data_files, train_stage
from ..errors import InputError
from ..inference.recorded import addresses_in, recorded_text
from ..weights.class_names import stated_classes
from ..weights.host_guard import registered_types_alone
from ..weights.loading import read
from ..weights.reading.recorded_config import parse_recorded
from .extension_page import write_page

KEPT = ("pipeline", "filter_cfg", "test_mode", "on_broken_image", "on_outside_box", "allow_empty")
OF_THE_OLD_RUN = ("frozen_det.FractionRecordHook", "frozen_det.ExtendsHook")


def extend(
    checkpoint: str | Path,
    data_root: str | Path,
    work_dir: str | Path,
    classes: Sequence[str] | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    joint: str | Path | None = None,
    log: Callable[[str], None] = print,
) -> tuple[Path, Path]:
    """Train a member for new classes, or go on, and measure.

    Args:
        checkpoint: of the detector, with the config of its training in it.
        data_root: folder with the new data, in any tree that `custom_coco` takes.
        work_dir: where everything goes; the new member's checkpoints to ``detector/``.
        classes: those of the new data to learn; by default all of them.
        seed: of the run; by default the detector's.
        options: overrides of the detector's config.
        joint: checkpoint of a detector of all classes, to be measured beside.
        log: takes each line of progress.

    Returns:
        the new member's checkpoint, and the page.

    Raises:
        InputError: a checkpoint without a config, or of a detector without a frozen backbone; data that do not fit; a
            class that the detector knows already.
    """
    checkpoint, work_dir = Path(checkpoint).resolve(), Path(work_dir)
    cfg = extension_config(checkpoint, data_root, classes, options)
    cfg.work_dir = str(work_dir / "detector")
    cfg.__dict__["_filename"] = str(work_dir / "extension.py")  # as which the run keeps it in its folder
    if seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": seed}
    stages = Stages(work_dir, memory="extension.json", log=log)
    with registered_types_alone(addresses_in(options)):
        trained = train_stage("train", cfg, [checkpoint, *data_files(cfg)], stages, None)
    page = work_dir / "extension.md"
    with stages("measure", always=True):
        write_page(page, checkpoint, trained, joint)
    return trained, page


def extension_config(
    checkpoint: Path, data_root: str | Path, classes: Sequence[str] | None, options: Mapping[str, Any] | None
):
    """The config of the new member: the detector's own, on other data; arguments as of :func:`extend`."""
    from mmengine.config import Config

    from ..config.load import load_recorded_text
    from ..config.shapes import check_record

    loaded = read(checkpoint)
    old = stated_classes(loaded, str(checkpoint))
    where = f"{checkpoint} (meta.cfg)"
    cfg = parse_recorded(recorded_text(loaded, checkpoint), where)
    check_record(cfg, where)  # what it asks for is looked at when it is whole, with the options
    if cfg.model.get("type") != "frozen_det.Detector" or cfg.model.get("num_stuff_classes") or old is None:
        raise InputError(
            f"expected a checkpoint of a frozen_det.Detector with boxes and class names, got {checkpoint} of a "
            f"{cfg.model.get('type')}; train the new classes by `frozen-det train`."
        )
    splits = resolve_user_data(data_root)
    new = _new_classes(splits["train"][0], classes, old, checkpoint)
    given = cfg.to_dict()
    for split in ("train", "val", "test"):
        loader, metric = given.get(f"{split}_dataloader"), given.get(f"{split}_evaluator")
        source = split if split in splits else "val"
        if loader:
            loader["dataset"] = _on_data(loader["dataset"], data_root=str(data_root), split=source, classes=new)
        if metric:
            truth = dict(ann_file=str(splits[source][0].absolute()), metric=_kinds(metric), classwise=True)
            given[f"{split}_evaluator"] = dict(type="frozen_det.CocoMetric", **truth)
    given["model"].pop("classes_from", None)
    given["model"]["num_classes"] = len(new)
    hooks = [one for one in given.get("custom_hooks") or [] if one["type"] not in OF_THE_OLD_RUN]
    given |= dict(
        custom_hooks=[*hooks, dict(type="frozen_det.ExtendsHook", checkpoint=str(checkpoint))],
        load_from=None,
        resume=False,
    )
    text = Config(given, format_python_code=False).pretty_text
    return load_recorded_text(text, f"{checkpoint} (meta.cfg, on {data_root})", options, to_train=True)


def _new_classes(ann_file: Path, asked: Sequence[str] | None, old: Sequence[str], checkpoint: Path) -> tuple[str, ...]:
    """The classes to learn; one that the detector knows already is refused."""
    own = read_classes(ann_file)
    if asked is not None:
        check_classes(tuple(asked), own, str(ann_file))
    new = own if asked is None else tuple(asked)
    known = {as_seen(name).casefold() for name in old}
    both = [name for name in new if as_seen(name).casefold() in known]
    if both:
        rest = [name for name in new if name not in both]
        raise InputError(
            f"expected new classes in {ann_file}, got {few_names(both)}, which {checkpoint} knows already and keeps as "
            f"it is. {f'Name the new ones: --classes {few_names(rest)}' if rest else 'Nothing is new here'}; to teach "
            "it better what it knows, train it anew."
        )
    return new


def _on_data(dataset: dict, data_root: str, split: str, classes: tuple[str, ...]) -> dict:
    """A data set's config on other data: pipeline, filters and wrappers stay; of joined ones the first."""
    if dataset.get("datasets"):
        return _on_data(dataset["datasets"][0], data_root, split, classes)
    if dataset.get("dataset"):
        return {**dataset, "dataset": _on_data(dataset["dataset"], data_root, split, classes)}
    kept = {key: dataset[key] for key in KEPT if key in dataset}
    where = dict(data_root=data_root, split=split, metainfo=dict(classes=classes))
    return {"type": "frozen_det.CocoDataset", **where, **kept}


def _kinds(evaluator) -> list[str]:
    found = [one.get("metric") or "bbox" for one in (evaluator if isinstance(evaluator, list) else [evaluator])]
    return list(dict.fromkeys(kind for one in found for kind in ([one] if isinstance(one, str) else one)))
