"""Training configs of teachers and students, out of the configs that a loop names.

The labelled images may be replaced by a list, a student's loader becomes one of joint batches, and the learning rate
still follows the labelled batch alone. Refuses configs that train no classifier.
"""

import copy

from ...errors import InputError
from .joint_batches import joint_batch_size

#: What a round may say about its student, with the values it has otherwise.
STUDENT = dict(labels="soft", temperature=1.0, weighting="sum", ratio=1, start="fresh")
STARTS = ("fresh", "warm")


def classifier_config(part, work_dir, labelled=None):
    """The training config that `part` names, with its overrides.

    Args:
        part: ``dict(config=..., options={...})``.
        work_dir: of the training.
        labelled: a :class:`~.labelled_split.LabelledSplit` whose list takes the place of the training data; transform
            and other settings of the data set stay. None leaves them as they are.

    Raises:
        InputError: no such config, or one that trains no classifier.
    """
    from ...config import load_config
    from ...config.classifiers import is_classifier
    from ...config.parts import flat

    cfg = load_config(part["config"], dict(flat(part.get("options") or {})))
    if not is_classifier(cfg.get("model")):
        kind = cfg.get("model", {}).get("type", "")
        raise InputError(f"expected the config of a classifier in {cfg.filename}, got model.type={kind!r}.")
    cfg.work_dir = str(work_dir)
    if labelled is not None:
        given = cfg.train_dataloader.dataset
        kept = {key: value for key, value in given.items() if key in ("transform", "in_memory", "on_broken")}
        cfg.train_dataloader.dataset = dict(
            type="frozen_det.ImageList", ann_file=str(labelled.labelled), classes=str(labelled.classes), **kept
        )
    return cfg


def student_config(cfg, manifest, settings: dict, teacher=None):
    """Turn a classifier's training config into a student's, in place.

    Args:
        cfg: from :func:`classifier_config`; its loader's batch is the labelled one, its ``auto_scale_lr`` the rate's
            for a labelled batch.
        manifest: config of the pseudo-labelled data set, without its transform.
        settings: keys of :data:`STUDENT`; a ratio that is 0 trains on labelled images alone.
        teacher: checkpoint that a warm student starts from.

    Raises:
        InputError: unknown settings.
    """
    settings = {**STUDENT, **settings}
    if settings["start"] not in STARTS:
        raise InputError(f"expected start as one of {list(STARTS)}, got {settings['start']!r} (rounds).")
    cfg.model.type = "frozen_det.NoisyClassifier"
    cfg.model.pseudo = {key: settings[key] for key in ("labels", "weighting")}
    cfg.model.weights = str(teacher) if settings["start"] == "warm" else None
    loader, ratio = cfg.train_dataloader, settings["ratio"]
    batch = loader.batch_size
    labelled = loader.dataset
    kept = {key: copy.deepcopy(labelled[key]) for key in ("transform", "in_memory") if key in labelled}
    pseudo = {**manifest, **kept, "labels": settings["labels"], "temperature": settings["temperature"]}
    loader.dataset = dict(
        type="frozen_det.JointDataset", labelled=labelled, pseudo=pseudo, epochs=cfg.train_cfg.max_epochs
    )
    loader.sampler = dict(type="frozen_det.JointSampler", batch_size=batch, ratio=ratio)
    loader.batch_size = joint_batch_size(batch, ratio)
    loader.drop_last = False
    scale = cfg.get("auto_scale_lr")
    if scale and scale.get("base_batch_size"):
        # The host scales by the loader's batch; the rate is to follow the labelled images in it.
        scale.base_batch_size = scale.base_batch_size * loader.batch_size / batch
    return cfg
