"""`frozen_det.ClassificationMetric`: top-1 and top-5, per class, ReaL-style labels, calibration, loss; each image once.

Samplers pad the last round of a distributed test with images that were seen already, which biases every mean; here an
image counts once, by its index. Refuses labels that the scores have no place for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from ..errors import InputError
from ..registry import METRICS
from ..weights.atomic_write import write_json


@METRICS.register_module()
class ClassificationMetric(BaseMetric):
    """Accuracy of a classifier.

    Args:
        topk: for which k an image is right when its label is among the k highest scores; a k above the number of
            classes is left out.
        num_bins: of the expected calibration error (Guo et al., ICML 2017, eq. 3; equal widths, 15 there).
        per_class: whether accuracies of single classes go to the numbers, as ``class/NAME``; they are always in
            `outfile`.
        outfile: JSON file for the numbers, the accuracy of every class and the classes without images.
        collect_device, prefix: of mmengine.

    The numbers (percent, but for ``loss`` and ``ece``, which is in 0..1): ``top1``, ``top5``, ``mean_class`` (over
    classes that have images), ``loss`` (mean cross-entropy), ``ece``, ``real`` (the predicted class is among an
    image's valid labels; images without any are left out, as in Beyer et al., arXiv 2006.07159), ``num_images``,
    ``num_empty_classes``.
    """

    default_prefix = ""  # plain names; None would only make the host warn

    def __init__(
        self,
        topk: Sequence[int] = (1, 5),
        num_bins: int = 15,
        per_class: bool = False,
        outfile: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not topk or min(topk) < 1 or num_bins < 1:
            raise InputError(
                f"expected topk of whole numbers from 1 on and num_bins from 1 on in a "
                f"ClassificationMetric, got topk={topk}, num_bins={num_bins}."
            )
        self.topk, self.num_bins, self.per_class, self.outfile = tuple(topk), num_bins, per_class, outfile

    @staticmethod
    def reported_names(settings: Mapping) -> set[str]:
        """Names of the numbers that a metric with these arguments gives; `*` matches the name of a class."""
        return {
            *(f"top{k}" for k in settings.get("topk", (1, 5))),
            "mean_class",
            "loss",
            "ece",
            "real",
            "num_real_images",
            "num_images",
            "num_empty_classes",
            *(["class/*"] if settings.get("per_class") else []),
        }

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep a few numbers of each image.

        Args:
            data_batch: not used.
            data_samples: one dict per image with `logits` (C,) and `label`, and `index`, `labels_multi` where known.

        Raises:
            InputError: another number of scores than the data set has classes, or a label without a score.
        """
        classes = (self.dataset_meta or {}).get("classes")
        for sample in data_samples:
            logits = sample["logits"].cpu().double().numpy()  # (C,)
            label, count = int(sample["label"]), len(logits)
            if classes is not None and len(classes) != count:
                raise InputError(
                    f"expected one score for each of the data set's {len(classes)} classes, got {count} "
                    f"(model.num_classes). Set model.num_classes={len(classes)}, or give the data set "
                    f"the {count} classes of the model."
                )
            if not 0 <= label < count:
                raise InputError(
                    f"expected labels in 0..{count - 1}, one per score, got {label} "
                    f"({sample.get('path', 'no path')}). Set model.num_classes to the data's."
                )
            log_scores = logits - logits.max()
            log_scores -= np.log(np.exp(log_scores).sum())
            predicted, valid = int(logits.argmax()), sample.get("labels_multi")
            self.results.append(
                {
                    "index": sample.get("index"),
                    "label": label,
                    "predicted": predicted,
                    "num_classes": count,
                    # Among equal scores the class that comes first wins, as in argmax.
                    "rank": int((logits > logits[label]).sum() + (logits[:label] == logits[label]).sum()),
                    "confidence": float(np.exp(log_scores[predicted])),
                    "loss": float(-log_scores[label]),
                    "real": None if not valid else predicted in list(valid),
                    "has_real": valid is not None,
                }
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """The numbers over all processes, every image once.

        Args:
            size: number of images of the data set; fewer results than that are warned about.
        """
        if not self.results:
            MMLogger.get_current_instance().warning("ClassificationMetric got no image on this process")
        gathered = [one for part in all_gather_object(self.results) for one in part]
        metrics = [None]
        if is_main_process():
            kept = each_once(gathered)
            if len(kept) < size:
                MMLogger.get_current_instance().warning(
                    f"{len(kept)} images were classified, of {size} in the data set: some could not be read, or a "
                    "loader drops its last batch"
                )
            found = self.compute_metrics(kept)
            metrics = [{f"{self.prefix}/{k}" if self.prefix else k: v for k, v in found.items()}]
        broadcast_object_list(metrics)
        self.results.clear()
        return metrics[0]

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """The numbers over `results`, which hold every image once.

        Raises:
            InputError: no image.
        """
        if not results:
            raise InputError(
                "expected at least one classified image, got none. Look at val_dataloader and "
                "test_dataloader of the config."
            )
        numbers, classes = summarize(results, self.topk, self.num_bins)
        names = (self.dataset_meta or {}).get("classes") or range(len(classes))
        named = {str(name): value for name, value in zip(names, classes)}
        empty = [name for name, value in named.items() if value is None]
        if empty:
            MMLogger.get_current_instance().warning(
                f"{len(empty)} of {len(named)} classes have no image in the data: {', '.join(empty[:8])}"
                + (", ..." if len(empty) > 8 else "")
                + "; they count in no mean"
            )
        if self.outfile:
            write_json(Path(self.outfile), {"numbers": numbers, "class": named, "empty": empty})
        if self.per_class:
            numbers.update({f"class/{name}": value for name, value in named.items() if value is not None})
        return numbers


def each_once(results: Sequence[dict]) -> list[dict]:
    """The results with every `index` once, the first of each, ordered by it; those without an index all stay."""
    first, nameless = {}, []
    for one in results:
        if one["index"] is None:
            nameless.append(one)
        else:
            first.setdefault(int(one["index"]), one)
    return [first[index] for index in sorted(first)] + nameless


def summarize(
    results: Sequence[dict], topk: Sequence[int], num_bins: int
) -> tuple[dict[str, float], list[float | None]]:
    """(the numbers, accuracy in percent of each class or None where it has no image) of distinct images."""
    label, rank, predicted, confidence, loss = (
        np.array([one[key] for one in results]) for key in ("label", "rank", "predicted", "confidence", "loss")
    )
    count = results[0]["num_classes"]
    right = predicted == label
    numbers = {f"top{k}": 100 * float((rank < k).mean()) for k in topk if k < count or k == 1}
    images = np.bincount(label, minlength=count)
    hits = np.bincount(label, weights=right, minlength=count)
    classes = [100 * float(h) / int(n) if n else None for h, n in zip(hits, images)]
    present = [value for value in classes if value is not None]
    numbers.update(
        mean_class=sum(present) / len(present),
        loss=float(loss.mean()),
        ece=calibration_error(confidence, right, num_bins),
    )
    real = [one["real"] for one in results if one["real"] is not None]
    if any(one["has_real"] for one in results):
        numbers.update(real=100 * float(np.mean(real)) if real else -1.0, num_real_images=float(len(real)))
    return {**numbers, "num_images": float(len(results)), "num_empty_classes": float(count - len(present))}, classes


def calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int) -> float:
    """Expected calibration error: mean over images of |accuracy - confidence| of the image's bin, in 0..1.

    Args:
        confidence: (N,) in 0..1, score of the predicted class.
        right: (N,) bool.
        num_bins: bins of equal width, ``((b - 1) / num_bins, b / num_bins]``.
    """
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(confidence))
