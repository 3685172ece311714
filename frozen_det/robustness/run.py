"""Studies x candidates, each stored as it is done: called again, what has the same inputs is read back.

A result is stored in ``OUT/STUDY/LABEL.json`` with the digest of everything it depends on: settings, images, weights.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import InputError
from ..models.backbone_sources.weights import weights_file
from ..upstream.pretrained import split_head
from ..weights.atomic_write import replacing
from ..weights.class_names import refuse_other_order
from ..weights.feature_store import FeatureStore
from .bootstrap import Measured
from .candidates import Candidate, StudyImages, fitting_batch, open_classifier, read_images
from .study import Setting, Study, StudyOptions, studies


@dataclass
class StudyResults:
    """What was found: study -> label -> measured; seconds that were spent now; results read back."""

    candidates: list[Candidate]
    found: dict[str, dict[str, Measured]] = field(default_factory=dict)
    seconds: float = 0.0
    num_reused: int = 0


def run_studies(
    names: Sequence[str],
    candidates: list[Candidate],
    options: StudyOptions,
    out,
    log: Callable[[str], None] = print,
    store: FeatureStore | None = None,
) -> StudyResults:
    """Run what is not there yet.

    Args:
        names: of :func:`.study.chosen_studies`.
        candidates: of :func:`.candidates.read_candidates`.
        options: settings.
        out: folder of the results.
        log: takes a line about the progress.
        store: where candidates read features of images seen before; None computes them.

    Raises:
        InputError: settings that a study refuses, candidates with different test images, or weights that state other
            classes than the images have.
    """
    out, started, known = Path(out), time.monotonic(), studies()
    results = StudyResults(candidates, {name: {} for name in names})
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
        head = f"[{place + 1}/{len(candidates)}] {candidate.label}"
        setting = Setting(
            candidate, options.num_images, options.seed, out, lambda line, head=head: log(f"{head} · {line}")
        )
        for study in map(known.get, names):
            path = out / study.name / f"{candidate.file_name}.json"
            key = study_key(study, candidate, images, options)
            stored = _stored(path, key)
            if stored is None:
                classifier = classifier or _opened(candidate, images, store)
                clock = time.monotonic()
                stored = study.run(classifier, images, options.of(study), setting)
                _store(path, key, candidate, study.name, stored, time.monotonic() - clock)
                log(f"{head} · {study.name} done in {time.monotonic() - clock:.0f} s -> {path}")
            else:
                results.num_reused += 1
                log(f"{head} · {study.name}: read back from {path}")
            results.found[study.name][candidate.label] = stored
        for study in known.values():  # the page shows what is there
            path = out / study.name / f"{candidate.file_name}.json"
            if study.name not in names and (stored := _stored(path, study_key(study, candidate, images, options))):
                results.found.setdefault(study.name, {})[candidate.label] = stored
    results.seconds = time.monotonic() - started
    return results


def study_key(study: Study, candidate: Candidate, images: StudyImages, options: StudyOptions) -> str:
    """Digest of what a result depends on."""
    own = dict(num_images=options.num_images, seed=options.seed, **asdict(options.of(study)))
    weights = candidate.checkpoint or split_head(candidate.cfg.model.get("weights"))[0]
    file = None if weights is None else weights_file(str(weights) if candidate.checkpoint else weights)
    digest = str(weights) if file is None or not file.is_file() else hashlib.sha256(file.read_bytes()).hexdigest()
    model = {key: value for key, value in candidate.cfg.model.to_dict().items() if key not in ("mixing", "loss")}
    text = json.dumps(
        [study.version, study.name, own, images.digest, list(images.size_hw), digest, model],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _opened(candidate: Candidate, images: StudyImages, store: FeatureStore | None):
    """The candidate's classifier; its weights must not state the classes in another order than the images have."""
    classifier = open_classifier(candidate, fitting_batch(images.size_hw), store)
    refuse_other_order(
        classifier.stated_classes,
        images.classes,
        f"the weights of {candidate.label}",
        "the test images",
        optional=True,
    )
    return classifier


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
