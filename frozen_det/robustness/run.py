"""Studies x candidates, each stored as it is done: called again, what has the same inputs is read back.

A result lies in ``OUT/STUDY/LABEL.json`` with the digest of everything it depends on: settings, images, weights.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import InputError, closest
from ..weights.atomic_write import replacing
from ..weights.class_names import refuse_other_order
from .bootstrap import Measured
from .candidates import Candidate, StudyImages, fitting_batch, open_classifier, read_images

#: What `all` runs, in this order; the others need data of their own.
ALL = ("fgsm", "occlusion", "in-between", "ood", "calibration", "corruptions")
STUDIES = (*ALL, "wsol", "transfer")
# Raised whenever the same inputs would give other numbers.
_FORMATS = {"fgsm": 2, "corruptions": 2}


@dataclass(frozen=True)
class StudyOptions:
    """Settings of all studies; every study's results depend on its own and the common ones.

    Attributes:
        num_images: test images of the candidates' config; None: all.
        seed: of the images, noise, pairs and resamples.
        epsilons, epsilon, pgd_steps, pgd_images: of ``fgsm``, in 1/255.
        fill: of ``occlusion``.
        ood: folders of out-of-distribution images.
        num_bins: of ``calibration``.
        corruption_images, shifted: of ``corruptions``.
        wsol_data, last_stride, map, wsol_protocol: of ``wsol``; the data ``toy`` are written under the output.
        transfer_data, detector, detection_options, finetune, finetune_epochs: of ``transfer``.
    """

    num_images: int | None = 1000
    seed: int = 0
    epsilons: tuple[float, ...] = (0, 1, 2, 4, 8, 16)
    epsilon: float = 8
    pgd_steps: int = 10
    pgd_images: int = 200
    fill: str = "mean"
    ood: tuple[str, ...] = ()
    num_bins: int = 15
    corruption_images: int = 100
    shifted: tuple[str, ...] = ()
    wsol_data: str | None = None
    last_stride: int | None = None
    map: str | None = None
    wsol_protocol: str = "own"
    transfer_data: tuple[str, ...] = ()
    detector: str | None = None
    detection_options: tuple[str, ...] = ()
    finetune: bool = False
    finetune_epochs: int = 5


_OWN = {
    "fgsm": ("epsilons", "epsilon", "pgd_steps", "pgd_images"),
    "occlusion": ("fill",),
    "in-between": (),
    "ood": ("ood",),
    "calibration": ("num_bins",),
    "corruptions": ("corruption_images", "shifted"),
    "wsol": ("wsol_data", "last_stride", "map", "wsol_protocol"),
    "transfer": ("transfer_data", "detector", "detection_options", "finetune", "finetune_epochs"),
}


@dataclass
class StudyResults:
    """What was found: study -> label -> measured; seconds that were spent now; results read back."""

    candidates: list[Candidate]
    found: dict[str, dict[str, Measured]] = field(default_factory=dict)
    seconds: float = 0.0
    num_reused: int = 0


def chosen_studies(study: str, options: StudyOptions | None = None) -> tuple[str, ...]:
    """Studies by name, or what `all` means: the six without data of their own, and those whose data are given.

    Args:
        study: a name, several with commas between them, or ``all``.
        options: tell which data are given.

    Raises:
        InputError: an unknown name.
    """
    names = tuple(dict.fromkeys(study.split(",")))
    for name in names:
        if names != ("all",) and name not in STUDIES:
            raise InputError(
                f"expected STUDY as some of {', '.join(STUDIES)} with commas between them, or all, got "
                f"{name!r}; {closest(name, STUDIES)}".rstrip("; ")
                + "."
            )
    if names != ("all",):
        return names
    options = options or StudyOptions()
    return ALL + ("wsol",) * bool(options.wsol_data) + ("transfer",) * bool(options.transfer_data or options.detector)


def run_studies(
    studies: Sequence[str], candidates: list[Candidate], options: StudyOptions, out, say: Callable[[str], None] = print
) -> StudyResults:
    """Run what is not there yet.

    Args:
        studies: of :func:`chosen_studies`.
        candidates: of :func:`.candidates.read_candidates`.
        options: settings.
        out: folder of the results.
        say: prints a line.

    Raises:
        InputError: settings that a study refuses, candidates with different test images, or weights that state other
            classes than the images have.
    """
    out, started = Path(out), time.monotonic()
    results = StudyResults(candidates, {study: {} for study in studies})
    listing = None
    for place, candidate in enumerate(candidates):
        images = read_images(candidate.cfg, options.num_images, options.seed)
        if listing not in (None, images.digest):
            raise InputError(
                f"expected the same test images for all candidates, got others for {candidate.label} than "
                f"for {candidates[0].label}: give all the same data_root (--cfg-options data_root=DIR), "
                "or analyze them apart."
            )
        listing, classifier = images.digest, None
        for study in studies:
            head = f"[{place + 1}/{len(candidates)}] {candidate.label}"
            path = out / study / f"{file_name(candidate.label)}.json"
            key = study_key(study, candidate, images, options)
            stored = _stored(path, key)
            if stored is None:
                classifier = classifier or open_classifier(candidate, fitting_batch(images.size_hw))
                refuse_other_order(
                    classifier.stated_classes,
                    images.classes,
                    f"the weights of {candidate.label}",
                    "the test images",
                    optional=True,
                )
                clock = time.monotonic()
                stored = _measure(
                    study, classifier, images, options, candidate, lambda line, head=head: say(f"{head} · {line}"), out
                )
                _store(path, key, candidate, study, stored, time.monotonic() - clock)
                say(f"{head} · {study} done in {time.monotonic() - clock:.0f} s -> {path}")
            else:
                results.num_reused += 1
                say(f"{head} · {study}: read back from {path}")
            results.found[study][candidate.label] = stored
        for study in STUDIES:  # the page shows what is there
            stored = (
                None
                if study in studies
                else _stored(
                    out / study / f"{file_name(candidate.label)}.json", study_key(study, candidate, images, options)
                )
            )
            if stored is not None:
                results.found.setdefault(study, {})[candidate.label] = stored
    results.seconds = time.monotonic() - started
    return results


def study_key(study: str, candidate: Candidate, images: StudyImages, options: StudyOptions) -> str:
    """Digest of what a result depends on."""
    own = {name: value for name, value in asdict(options).items() if name in ("num_images", "seed", *_OWN[study])}
    from ..models.backbone_sources.weights import weights_file
    from ..upstream.pretrained import split_head

    weights = candidate.checkpoint or split_head(candidate.cfg.model.get("weights"))[0]
    file = None if weights is None else weights_file(str(weights) if candidate.checkpoint else weights)
    digest = str(weights) if file is None or not file.is_file() else hashlib.sha256(file.read_bytes()).hexdigest()
    model = {key: value for key, value in candidate.cfg.model.to_dict().items() if key not in ("mixing", "loss")}
    text = json.dumps(
        [_FORMATS.get(study, 1), study, own, images.digest, list(images.size_hw), digest, model],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def file_name(label: str) -> str:
    """A label as a file's name."""
    return re.sub(r"[^\w.+-]+", "_", label)


def _measure(
    study: str, classifier, images: StudyImages, options: StudyOptions, candidate: Candidate, say, out: Path
) -> Measured:
    """Run one study on one candidate."""
    common = dict(seed=options.seed, say=say)
    if study == "fgsm":
        from .adversarial import study_fgsm

        return study_fgsm(
            classifier, images, options.epsilons, options.epsilon, options.pgd_steps, options.pgd_images, **common
        )
    if study in ("occlusion", "in-between"):
        from .occlusion import study_between, study_occlusion

        return (
            study_occlusion(classifier, images, options.fill, **common)
            if study == "occlusion"
            else study_between(classifier, images, **common)
        )
    if study in ("ood", "calibration"):
        from .ood import study_calibration, study_ood

        return (
            study_ood(classifier, images, options.ood, **common)
            if study == "ood"
            else study_calibration(classifier, images, options.num_bins, **common)
        )
    if study == "corruptions":
        from .corruptions import study_corruptions

        return study_corruptions(classifier, images, options.corruption_images, options.shifted, **common)
    if study == "wsol":
        return _wsol(classifier, images, options, out, common)
    from .transfer import study_transfer

    return study_transfer(
        classifier,
        images,
        candidate,
        options.transfer_data,
        options.detector,
        options.detection_options,
        options.finetune,
        out / "probe" / file_name(candidate.label),
        options.num_images,
        options.finetune_epochs,
        **common,
    )


def _wsol(classifier, images: StudyImages, options: StudyOptions, out: Path, common: dict) -> Measured:
    from .wsol import study_wsol

    root = options.wsol_data
    if root is None:
        raise InputError("expected data with boxes for wsol, got none: give --wsol-data DIR, or toy.")
    if root == "toy":
        from ..datasets.toy.toy_scenes import write_toy_scenes

        root = write_toy_scenes(
            out / "toy_single_objects", num_train=400, num_val=200, num_objects=(1, 1), report=lambda line: None
        )
    return study_wsol(
        classifier, images, root, options.last_stride, options.num_images, options.map, options.wsol_protocol, **common
    )


def _stored(path: Path, key: str) -> Measured | None:
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Measured.from_dict(stored["measured"]) if stored.get("key") == key else None


def _store(path: Path, key: str, candidate: Candidate, study: str, measured: Measured, seconds: float) -> None:
    content = dict(
        study=study,
        candidate=candidate.label,
        arm=candidate.arm,
        checkpoint=str(candidate.checkpoint),
        config=str(candidate.cfg.filename),
        key=key,
        seconds=round(seconds, 1),
        measured=measured.to_dict(),
    )
    with replacing(path) as partial:
        Path(partial).write_text(json.dumps(content, indent=1), encoding="utf-8")
