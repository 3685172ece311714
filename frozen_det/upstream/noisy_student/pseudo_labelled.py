"""`frozen_det.PseudoLabelled`: the images that a teacher labelled and a selection kept, for a student to train on.

Each copy is a sample of its own, with its own draws. Pixels come from files, or from the place in a shard. Refused:
a manifest whose label files are gone, a broken image where ``on_broken="error"``.
"""

import torch
from PIL import Image

from ...errors import InputError
from ...registry import DATASETS
from ..datasets import ClassificationDataset
from .manifest import ManifestRecords
from .pool import open_image

LABELS = ("soft", "hard")


@DATASETS.register_module()
class PseudoLabelled(ClassificationDataset):
    """A manifest of pseudo-labels.

    A sample is that of :class:`~.datasets.ClassificationDataset`, its ``label`` the teacher's most probable class;
    with ``labels="soft"`` its ``data_samples`` have ``soft_labels`` as well: (C,) float32 probabilities, sum 1. Of
    labels with ``top_k`` they have instead ``soft_classes`` (k,) int64, ``soft_shares`` (k,) float32, their
    probabilities, and ``soft_rest`` () float32, that of all other classes.

    Args:
        manifest: File that :func:`~.selection.select` wrote.
        labels: "soft" or "hard".
        temperature: The teacher's logits are divided by it before they are normalised.
        others: See :class:`~.datasets.ClassificationDataset`; without ``fraction`` and ``num_images``.

    Raises:
        InputError: Another kind of labels, a temperature that is not above 0, no manifest.
    """

    def __init__(
        self,
        manifest: str,
        labels: str = "soft",
        temperature: float = 1.0,
        transform=None,
        in_memory: bool = False,
        on_broken: str = "error",
        test_mode: bool = False,
    ) -> None:
        if labels not in LABELS or not temperature > 0:
            raise InputError(
                f"expected labels as one of {LABELS} and temperature above 0, got {labels!r} and "
                f"{temperature!r} (dataset.labels, dataset.temperature)."
            )
        self.labels, self.temperature = labels, temperature
        super().__init__(ManifestRecords(manifest), transform, in_memory, on_broken, test_mode)

    def read_image(self, index: int) -> Image.Image:
        """The image, decoded, RGB, upright."""
        return open_image(self.records.row(index))

    def __getitems__(self, indices) -> list | dict:
        batch = super().__getitems__(indices)
        if isinstance(batch, dict) and self.labels == "soft":  # made whole, from images in memory
            told = [self._soft_label(int(index)) for index in indices]
            batch["data_samples"].update({key: torch.stack([one[key] for one in told]) for key in told[0]})
        return batch

    def _sample(self, index: int, image: torch.Tensor) -> dict:
        sample = super()._sample(index, image)
        if self.labels == "soft":
            sample["data_samples"].update(self._soft_label(index))
        return sample

    @property
    def top_k(self) -> int | None:
        """Classes of a soft label; None for hard labels and whole vectors."""
        return self.records.top_k if self.labels == "soft" else None

    def _soft_label(self, index: int) -> dict[str, torch.Tensor]:
        if self.top_k is None:
            return dict(soft_labels=torch.from_numpy(self.records.soft_label(index, self.temperature)))
        classes, shares, rest = self.records.top_label(index, self.temperature)
        return dict(
            soft_classes=torch.from_numpy(classes.astype("int64")),
            soft_shares=torch.from_numpy(shares),
            soft_rest=torch.tensor(rest),
        )
