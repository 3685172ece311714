"""`frozen_det.FeatureCacheHook`: train from a frozen backbone's features on disk, in turns of the pipeline's own draws.

A wholly frozen backbone gives equal features for equal images. Epoch e sees the random draws (crops, flips, pasted
objects, order) of epoch e modulo ``views``, so from the second turn on each batch is read. With as many views as epochs
a float32 cache changes nothing, bit by bit: it serves later runs on the same images. Decoding and augmentation still
run, since boxes and masks come from them. ``frozen-det describe`` says what a cache takes and how much it can save.
"""

from ...errors import InputError
from ...models.backbones.finding import frozen_backbones
from ...models.backbones.frozen_backbone import FrozenBackbone
from ...models.backbones.stored_features import read_features_from
from ...registry import HOOKS
from ...weights.feature_store import FeatureStore
from ...weights.whole_checkpoint import unwrapped
from .views import ViewsHook


@HOOKS.register_module()
class FeatureCacheHook(ViewsHook):
    """Store and read the features of every ``FrozenBackbone`` of the model.

    Args:
        folder: of the cache; several runs and processes may share one.
        views: number of epochs whose draws are repeated in turn; None draws again in every epoch.
        dtype: of the stored values, ``"float32"`` or ``"bfloat16"``; in bfloat16, training sees the rounded features
            whether they were read or computed. Validation reads from a float32 cache only, so that results are never
            those of rounded features.
        limit: most that the folder takes; features that do not fit are computed.

    Raises:
        InputError: a backbone that trains or has adapters, none that is frozen, views below 1, another dtype or limit.
    """

    def __init__(
        self,
        folder: str = "feature_cache",
        views: int | None = None,
        dtype: str = "float32",
        limit: str | int = "20GB",
    ):
        self.repeats = views is not None
        super().__init__(views if self.repeats else 1)
        self.folder, self.dtype, self.limit = folder, dtype, limit
        self._store: FeatureStore | None = None

    def before_train(self, runner) -> None:
        """Attach the cache; the weights are loaded by now."""
        if not _backbones(runner):
            raise InputError("expected a model with a frozen_det.FrozenBackbone for FeatureCacheHook, got none.")
        self._store = FeatureStore(self.folder, self.limit)
        self._attach(runner)
        if self.repeats:
            super().before_train(runner)

    def before_train_epoch(self, runner) -> None:
        """Set the sampler's epoch."""
        if self.repeats:
            super().before_train_epoch(runner)

    def before_val(self, runner) -> None:
        """Compute the features of validation unless stored ones are exact."""
        if self._store is not None and self.dtype != "float32":
            for backbone in _backbones(runner):
                backbone.stored = None

    def after_val(self, runner) -> None:
        """Read again."""
        if self._store is not None and self.dtype != "float32":
            self._attach(runner)

    def after_train_epoch(self, runner) -> None:
        """Say what was read and written."""
        if self._store is not None:
            runner.logger.info(self._store.summary())

    def after_train(self, runner) -> None:
        """Detach the cache."""
        for backbone in _backbones(runner):
            backbone.stored = None
        self._store = None

    def _attach(self, runner) -> None:
        for backbone in _backbones(runner):
            read_features_from(backbone, self._store, self.dtype)


def _backbones(runner) -> list[FrozenBackbone]:
    return list(frozen_backbones(unwrapped(runner.model)).values())
