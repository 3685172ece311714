"""The copies of pseudo-labelled images, by number, wherever they are kept: what a data set asks them for."""

import copy

import numpy as np

from ...errors import InputError
from .label_files import soft_label
from .top_k import SOFT_COLUMNS, shares_of, whole_label


class PseudoRecords:
    """Used in place of :class:`~..image_records.ImageRecords`; a subclass says where images and labels are.

    Args:
        source: File that says which they are.
        record: Its ``classes`` (names), ``num_classes`` and, where soft labels are of k classes, ``top_k``.
        num_copies: How many there are.

    Attributes:
        classes: Names of the classes.
        source: As given.
        top_k: Classes of a soft label; None where whole vectors are kept.
    """

    labels_multi = None
    root = ""

    def __init__(self, source, record: dict, num_copies: int) -> None:
        self.source, self.record, self.num_copies = str(source), record, num_copies
        self.classes = tuple(record["classes"])
        self.top_k: int | None = record.get("top_k")
        self._order: np.ndarray | None = None

    def __len__(self) -> int:
        return self.num_copies if self._order is None else len(self._order)

    def number(self, index: int) -> int:
        """The copy's number in the file, of its number among those that were taken."""
        return int(index if self._order is None else self._order[index])

    def take(self, indices: np.ndarray) -> "PseudoRecords":
        """These copies only, (M,) int64, in their order; the order is held in memory."""
        taken = copy.copy(self)
        taken._order = np.asarray(indices) if self._order is None else self._order[indices]
        return taken

    def pass_order(self, window: int, seed: int):
        """The order of a pass that suits how the images are kept, by place; None where any does."""

    def path(self, index: int) -> str:
        """File, or shard and member."""
        raise NotImplementedError

    def content(self, index: int) -> bytes:
        """The image file.

        Raises:
            OSError: It cannot be read.
        """
        raise NotImplementedError

    def label(self, index: int) -> int:
        """The hard class."""
        raise NotImplementedError

    def vector(self, index: int) -> np.ndarray:
        """(C,) float16 logits less their maximum.

        Raises:
            InputError: They were not kept.
        """
        raise NotImplementedError

    def top(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """(k,) classes, (k,) float16 logits, and the rest, see :class:`~.top_k.TopLabels`.

        Raises:
            InputError: They were not kept.
        """
        raise NotImplementedError

    @property
    def labels(self) -> "_Labels":
        """The hard classes, by number or array of numbers of copies."""
        return _Labels(self.label, len(self))

    def soft_label(self, index: int, temperature: float = 1.0) -> np.ndarray:
        """(C,) float32 probabilities of a copy's image.

        Raises:
            InputError: They were not kept, or the files are gone.
        """
        if self.top_k is not None:
            return whole_label(*self.top_label(index, temperature), self.record["num_classes"])
        return soft_label(self.vector(index), temperature)

    def top_label(self, index: int, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.float32]:
        """Of a copy's image: (k,) classes, (k,) float32 probabilities, and the probability of all other classes.

        Raises:
            InputError: They were not kept.
        """
        classes, logits, rest = self.top(index)
        return (classes, *shares_of(logits, rest, self.record["num_classes"], temperature))

    def top_of(self, batch, row: int) -> tuple[np.ndarray, np.ndarray, float]:
        """:meth:`top` out of an Arrow batch with its columns."""
        classes, logits, rest = (batch.column(name)[row] for name in SOFT_COLUMNS)
        if not rest.is_valid:
            raise not_kept(self.source)
        return classes.values.to_numpy(), logits.values.to_numpy(zero_copy_only=False), rest.as_py()


class _Labels:
    def __init__(self, label, size: int) -> None:
        self.label, self.size = label, size

    def __getitem__(self, index):
        if np.ndim(index) == 0:
            return self.label(index)
        return np.array([self.label(one) for one in index], np.int64)

    def __len__(self) -> int:
        return self.size


def not_kept(path) -> InputError:
    """The error that a soft label which is asked for was not kept."""
    return InputError(
        f"expected the soft vector of each image in {path}, got none for one of them: it was labelled "
        "with a higher min_vector_confidence than it was selected with, or the labels were replaced."
    )
