"""What is adapted to a test size without gradient and label: a norm's statistics, or the pooled activations.

An adaptation learns from images at the test size and is applied while a `with` lasts; the classifier is then as before.
"""

from contextlib import contextmanager

from .equalisation import Equalisation, Frechet, attach, equalisation
from .resolution import Measured, SizedImages, measure, set_statistics


class NormStatistics:
    """The running statistics of a norm, replaced by those of its inputs at the test size.

    Args:
        norm: its name in the network.

    Attributes:
        norms: whose inputs :func:`.resolution.measure` is to sum up.
        label: what the adaptation is called in a line of text.
    """

    def __init__(self, norm: str):
        self.norms, self.label = (norm,), norm

    def learn(self, model, images: SizedImages, part, measured: Measured) -> dict:
        """The statistics; `measured` is of the images `part` at the test size."""
        return measured.statistics

    @contextmanager
    def applied(self, model, learned: dict):
        before = set_statistics(model, learned)
        try:
            yield
        finally:
            set_statistics(model, before)

    def record(self, learned: list) -> dict:
        """What a row of results says of it."""
        return dict(norm=self.label)


class PooledActivations:
    """The pooled activations, mapped to the distribution that the same images give at the training size.

    Args:
        train_size, crop_ratio: of the reference, in px.

    Attributes:
        norms, label: as above.
    """

    norms, label = (), "the mapping of pooled activations"

    def __init__(self, train_size: int, crop_ratio: float):
        self.train_size, self.crop_ratio = train_size, crop_ratio
        self._references: dict = {}

    def learn(self, model, images: SizedImages, part, measured: Measured) -> Equalisation:
        key = tuple(part)
        if key not in self._references:
            found = measure(model, images.batches(self.train_size, self.crop_ratio, part))
            self._references[key] = Frechet(*found.pooled["frechet"])
        return equalisation(Frechet(*measured.pooled["frechet"]), self._references[key])

    @contextmanager
    def applied(self, model, learned: Equalisation):
        with attach(model, learned):
            yield

    def record(self, learned: list) -> dict:
        return dict(equalise=[[one.scale, one.shift] for one in learned])
