"""What frozen features are worth elsewhere: a linear probe and neighbours on other images, a short detection run.

The probes read the input of the classifier's head and train nothing in the network; by choice the whole network is
trained on there too (:mod:`.finetune`). The detection probe is the number
that a user of this toolbox is after: a chain (:mod:`frozen_det.workflows.chain`) of fixed budget from the candidate's
weights, frozen and by choice fine-tuned too, with the detector's own config, seed and data. Refuses image folders
without two splits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..registry import STUDIES
from ..upstream.stored_network import linear_head
from .bootstrap import Bootstrap, Estimate, Measured
from .candidates import Candidate, StudyClassifier, StudyImages
from .features import fit_linear, images_through, nearest_neighbours, pooled_features
from .finetune import EPOCHS
from .finetune import finetune as train_on
from .study import Setting, Study, option

NUM_NEIGHBOURS = 20
#: Training images of a probe for each test image, at most.
TRAIN_RATIO = 5


@STUDIES.register_module(name="transfer")
class Transfer(Study):
    """Top-1 on other images, AP of a detector on this backbone."""

    title = "Transfer"
    axes = ("", "%")
    about = "Top-1 on other images, AP of a detector on this backbone; more is better."
    targets = {"detection, frozen, AP": "frozen probe", "detection, fine-tuned, AP": "fine-tuned probe"}

    @dataclass(frozen=True)
    class Options:
        """Where to, and what trains."""

        transfer_data: tuple[str, ...] = option(
            (), "image folders DIR/{train,test}/CLASS/* for the linear probe and neighbours", metavar="[NAME=]DIR"
        )
        detector: str | None = option(
            None,
            "detection probe: a detector's config that takes the candidates' weights, trained by its own budget, e.g. "
            "faster-rcnn_frozen-cifarresnet20_fpn_flip-4e_bccd",
            metavar="CONFIG",
        )
        detection_options: tuple[str, ...] = option((), "overrides of that config", metavar="KEY=VALUE")
        finetune: bool = option(
            False, "train the whole network too: on each image folder, and the detection probe with nothing frozen"
        )
        finetune_epochs: int = option(
            EPOCHS,
            "of a classifier on an image folder; a detector's config has its own (default: 5)",
            type=int,
            metavar="N",
        )

    def is_part_of_all(self, options) -> bool:
        return bool(options.transfer_data or options.detector)

    def ranked_numbers(self, found: Iterable[Measured]) -> list[tuple[str, bool]]:
        return [(name, True) for name in dict.fromkeys(name for one in found for name in one.numbers)]

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_transfer(
            classifier,
            images,
            setting.candidate,
            options.transfer_data,
            options.detector,
            options.detection_options,
            options.finetune,
            setting.out / "probe" / setting.candidate.file_name,
            setting.num_images,
            options.finetune_epochs,
            setting.seed,
            setting.log,
        )


def study_transfer(
    classifier: StudyClassifier,
    images: StudyImages,
    candidate: Candidate,
    folders: Sequence[str] = (),
    detector: str | None = None,
    detection_options: Sequence[str] = (),
    finetune: bool = False,
    work_dir="work_dirs/analysis/probe",
    num_images: int | None = 1000,
    epochs: int = EPOCHS,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Probes on every image folder, then the detection probe, in percent.

    Args:
        images: the candidate's own test images, for its transform.
        folders: ``NAME=DIR`` or ``DIR`` with splits ``train`` and ``test`` (or ``val``).
        detector: config of a detector whose frozen backbone takes the candidate's weights; None leaves it out.
        detection_options: ``KEY=VALUE`` overrides of that config.
        finetune: whether a classifier is trained on each folder as well (:mod:`.finetune`), and the detection
            probe runs a second time with nothing frozen.
        work_dir: where trainings go.
        num_images: test images of a probe; five times as many to train on.
        epochs: of a classifier's fine-tuning.
        seed: of the draws, the fine-tuning and the bootstrap.

    Raises:
        InputError: nothing to transfer to.
    """
    if not folders and detector is None:
        raise InputError("expected something to transfer to, got neither --transfer-data DIR nor --detector CONFIG.")
    found = Measured(notes=dict(num_neighbours=NUM_NEIGHBOURS) if folders else {})
    for word in folders:
        name, sign, folder = word.partition("=")
        path = Path(folder if sign else word).expanduser()
        name = name if sign else path.name
        records, split = _records(path, num_images, seed)
        _add_probes(found, name, records, split, classifier, images, seed, log)
        if finetune:
            _add_finetuned(
                found, name, records, split, candidate, images, Path(work_dir) / "classifiers" / name, epochs, seed, log
            )
    if detector is not None:
        for frozen in (True, False) if finetune else (True,):
            word = "frozen" if frozen else "fine-tuned"
            metrics = detection_probe(candidate, detector, detection_options, Path(work_dir) / word, frozen, log)
            for short, value in metrics.items():
                found.numbers[f"detection, {word}, {short}"] = Estimate(value, value, value)
        found.notes["detector"] = detector
    return found


def _records(root: Path, num: int | None, seed: int) -> tuple[dict, str]:
    """(split -> seeded draw of its records, name of the test split)."""
    from ..upstream.image_records import read_folder

    split = next((one for one in ("test", "val") if (root / one).is_dir()), None)
    if split is None:
        raise InputError(f"expected folders train and test (or val) in {root}, got no test images (--transfer-data).")
    found = {}
    for part, most in (("train", num and TRAIN_RATIO * num), (split, num)):
        records = read_folder(root, part, classes_from="train")
        found[part] = records.take(np.sort(np.random.default_rng(seed).permutation(len(records))[:most]))
    return found, split


def _pixels(records, images: StudyImages):
    """Tensors (N, 3, H, W) uint8 of at most 500 images each, as the candidate sees them."""
    paths = [records.path(place) for place in range(len(records))]
    for start in range(0, len(paths), 500):
        yield images_through(paths[start : start + 500], images.fit)


def _add_probes(
    found: Measured, name: str, records: dict, split: str, classifier, images: StudyImages, seed: int, log
) -> None:
    head = linear_head(classifier.network)
    features = {}
    for part in records:
        features[part] = np.concatenate(
            [pooled_features(classifier, pixels, head) for pixels in _pixels(records[part], images)]
        )
        log(f"transfer, {name}: features of {len(records[part])} {part} images")
    train, labels = records["train"].labels, records[split].labels
    boot = Bootstrap(len(labels), seed)
    weights, biases = fit_linear(features["train"], train, len(records["train"].classes))
    predicted = {
        "linear probe": (features[split] @ weights.T + biases).argmax(1),
        f"{NUM_NEIGHBOURS}-NN": nearest_neighbours(features["train"], train, features[split], NUM_NEIGHBOURS),
    }
    for kind, classes_found in predicted.items():
        found.numbers[f"{name}, {kind}"] = boot.mean(100.0 * (classes_found == labels))
        log(f"transfer, {name}, {kind}: {found.numbers[f'{name}, {kind}'].value:.1f}")
    found.notes[f"{name}, train images"] = len(train)


def _add_finetuned(
    found: Measured,
    name: str,
    records: dict,
    split: str,
    candidate: Candidate,
    images: StudyImages,
    work_dir: Path,
    epochs: int,
    seed: int,
    log,
) -> None:
    trained = train_on(
        candidate, images, records["train"], work_dir, epochs, seed, lambda line: log(f"transfer, {name}: {line}")
    )
    right = np.concatenate([trained.logits(pixels).argmax(1) for pixels in _pixels(records[split], images)])
    right = right == records[split].labels
    found.numbers[f"{name}, fine-tuned"] = Bootstrap(len(right), seed).mean(100.0 * right)
    found.notes[f"{name}, epochs of fine-tuning"] = epochs
    log(f"transfer, {name}, fine-tuned: {found.numbers[f'{name}, fine-tuned'].value:.1f}")


def detection_probe(
    candidate: Candidate,
    detector: str,
    options: Sequence[str],
    work_dir: Path,
    frozen: bool = True,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Box AP in percent of a short run from the candidate's weights; a finished run is read back.

    Args:
        candidate: whose weights the detector's backbone takes; its architecture must be the detector's body.
        detector: config, path or shipped name.
        options: ``KEY=VALUE`` overrides.
        work_dir: of the run.
        frozen: False trains the backbone too (``freeze=False``).

    Returns:
        ``AP`` and ``AP50``, without those that the metric does not give.
    """
    from mmengine.config import Config, DictAction

    from ..config import find_config
    from ..models.backbone_sources.weights import weights_file
    from ..upstream.pretrained import split_head
    from ..workflows.chain import run_chain

    given = {}
    for item in options:
        key, sign, value = item.partition("=")
        if not sign:
            raise InputError(f"expected --detection-options as KEY=VALUE, got {item!r}.")
        given[key] = DictAction._parse_iterable(value)
    if not frozen:
        given["model.detector.backbone.freeze"] = False
    weights = str(candidate.checkpoint) if candidate.checkpoint else split_head(candidate.cfg.model.weights)[0]
    file = weights_file(weights)
    chain = Config(
        dict(
            upstream=dict(type="given", weights=str(file) if candidate.checkpoint else weights),
            fixres=None,
            detector=dict(config=detector, options=given),
        ),
        filename=str(find_config(detector)),
    )  # for messages
    result = run_chain(chain, work_dir, lambda line: log(f"detection probe: {line}"))
    names = {"AP": ("bbox_mAP", "bbox_AP"), "AP50": ("bbox_mAP_50", "bbox_AP50")}
    return {
        short: 100 * value
        for short, known in names.items()
        for full, value in result.metrics.items()
        if full.rpartition("/")[2] in known
    }
