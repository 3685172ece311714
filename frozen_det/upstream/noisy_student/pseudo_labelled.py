"""`frozen_det.PseudoLabelled`: the images that a teacher labelled and a selection kept, for a student to train on.

Each copy is a sample of its own, with its own draws. Pixels come from files, or from the place in a shard. Refused:
a manifest whose label files are gone, a broken image where ``on_broken="error"``.
"""

from io import BytesIO

import torch
from PIL import Image

from ...datasets.images.pixels import upright_rgb
from ...errors import InputError
from ...registry import DATASETS
from ..datasets import ClassificationDataset
from .manifest import ManifestRecords
from .shard_files import SHARDS, ShardedRecords

LABELS = ("soft", "hard")
WINDOW = 16


@DATASETS.register_module()
class PseudoLabelled(ClassificationDataset):
    """A manifest of pseudo-labels.

    A sample is that of :class:`~.datasets.ClassificationDataset`, its ``label`` the teacher's most probable class;
    with ``labels="soft"`` its ``data_samples`` have ``soft_labels`` as well: (C,) float32 probabilities, sum 1. Of
    labels with ``top_k`` they have instead ``soft_classes`` (k,) int64, ``soft_shares`` (k,) float32, their
    probabilities, and ``soft_rest`` () float32, that of all other classes.

    Args:
        manifest: File that :func:`~.selection.select` wrote, or ``shards.json`` of :func:`~.shard_files.write_shards`.
        labels: "soft" or "hard".
        temperature: The teacher's logits are divided by it before they are normalised.
        window: Shards that all processes together read at a time, see :class:`~..shard_reading.ShardOrder`.
        others: See :class:`~.datasets.ClassificationDataset`; without ``fraction`` and ``num_images``.

    Raises:
        InputError: Another kind of labels, a temperature that is not above 0, no manifest, soft labels that the
            shards do not have.
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
        window: int = WINDOW,
    ) -> None:
        if labels not in LABELS or not temperature > 0:
            raise InputError(
                f"expected labels as one of {LABELS} and temperature above 0, got {labels!r} and "
                f"{temperature!r} (dataset.labels, dataset.temperature)."
            )
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise InputError(f"expected window as a number of shards from 1 on, got {window!r} (dataset.window).")
        self.labels, self.temperature, self.window = labels, temperature, window
        records = ShardedRecords(manifest) if str(manifest).endswith(SHARDS) else ManifestRecords(manifest)
        if labels == "soft" and not records.record.get("soft", True):
            raise InputError(
                f"expected shards with soft labels, got {manifest} with hard ones alone (dataset.labels); take "
                "labels='hard', or write them again."
            )
        super().__init__(records, transform, in_memory, on_broken, test_mode)

    def pass_order(self, seed: int):
        """The order of a pass that suits how the images are kept, by place; None where any does."""
        return self.records.pass_order(self.window, seed)

    def read_image(self, index: int) -> Image.Image:
        """The image, decoded, RGB, upright."""
        with Image.open(BytesIO(self.records.content(index))) as image:
            return upright_rgb(image)

    def _broken(self, index: int, error: Exception) -> None:
        if isinstance(error, InputError):  # no broken image: a shard that is gone, or is not the one that was written
            raise error
        super()._broken(index, error)

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
