"""Which models of a config are classifiers, for all that treats them otherwise than detectors."""

from collections.abc import Mapping

CLASSIFIERS = ("ImageClassifier", "FixResClassifier", "NoisyClassifier", "EqualisedClassifier")


def is_classifier(model: Mapping | None) -> bool:
    """Whether a config's model is one of this package's classifiers.

    Args:
        model: ``cfg.model``, or None where there is none.
    """
    scope, _, name = str((model or {}).get("type")).rpartition(".")
    return scope in ("", "frozen_det") and name in CLASSIFIERS
