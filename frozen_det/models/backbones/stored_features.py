"""Features of a frozen backbone on disk, shared by runs, processes and studies that show it equal images."""

from ...errors import InputError
from ...weights.feature_store import FeatureStore, StoredRows
from .shared_features import whole_function


def read_features_from(backbone, store: FeatureStore, dtype: str = "float32") -> None:
    """Let a backbone read features of images that were seen before, and write those of others.

    They are keyed by image, frozen weights, network, options, precision, library and device. This ends when the
    backbone is loaded again, unfrozen or merged.

    Args:
        backbone: a wholly frozen :class:`.frozen_backbone.FrozenBackbone`, loaded.
        store: where they are.
        dtype: of the stored values, ``"float32"`` or ``"bfloat16"``; in bfloat16 all features are rounded to it.

    Raises:
        InputError: the backbone is not wholly frozen, or another dtype.
    """
    if not backbone.is_wholly_frozen:
        what = "adapters" if backbone.adapters is not None else "trainable parameters"
        raise InputError(
            f"expected a wholly frozen backbone without adapters for a feature cache, got {what}: its features change "
            "while it trains. Leave frozen_det.FeatureCacheHook out, or set freeze=True and no adapters."
        )
    backbone.stored = StoredRows(store, repr(whole_function(backbone, backbone.frozen_fingerprint())), dtype)
