"""One answer to whether a config's model is a classifier, equal to what the registry says."""

import pytest

from frozen_det.config.classifiers import CLASSIFIERS, is_classifier
from frozen_det.registry import MODELS
from frozen_det.upstream.classifier import ImageClassifier


def test_the_names_are_those_of_all_registered_classifiers():
    MODELS.import_from_location()
    found = {
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, ImageClassifier)
    }
    assert found == set(CLASSIFIERS)


@pytest.mark.parametrize(
    "model, answer",
    [
        ({"type": "frozen_det.NoisyClassifier"}, True),
        ({"type": "ImageClassifier"}, True),
        ({"type": "mmpretrain.ImageClassifier"}, False),
        ({"type": "frozen_det.Detector"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_with_its_scope_or_without(model, answer):
    assert is_classifier(model) is answer
