"""A teacher and a study of the same weights see the same bits of a picture, and read the same features."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from frozen_det.datasets.images.pixels import upright_rgb
from frozen_det.robustness.adversarial import fgsm
from frozen_det.robustness.candidates import Candidate, StudyClassifier, open_classifier, read_images, unit
from frozen_det.robustness.features import images_through, normalised, pooled_features
from frozen_det.robustness.transfer import study_transfer
from frozen_det.upstream.noisy_student.label_files import rows_path
from frozen_det.upstream.noisy_student.label_stages import one_by_one
from frozen_det.upstream.noisy_student.labelling import label_pool, load_teacher
from frozen_det.upstream.noisy_student.pool import open_pool
from frozen_det.upstream.preprocessor import ImagePreprocessor
from frozen_det.upstream.stored_network import linear_head
from frozen_det.weights.feature_store import FeatureStore

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
BATCH = 8


@pytest.fixture(scope="module")
def sample(real_data, tmp_path_factory):
    """(config of a ResNet-8 on real photographs of two classes, eight to train on and eight to test on; its folder)."""
    from mmengine.config import Config

    from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet

    root = tmp_path_factory.mktemp("sample")
    for number, path in enumerate(sorted((real_data / "imagenet_sample" / "images").iterdir())[:16]):
        folder = root / "data" / ("train", "test")[number // 8] / ("first", "second")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    torch.manual_seed(0)
    torch.save(CifarResNet(8, 2).state_dict(), root / "weights.pth")
    cfg = Config(
        dict(
            model=dict(
                type="frozen_det.ImageClassifier",
                backbone=dict(type="frozen_det.CifarResNet", depth=8),
                num_classes=2,
                weights=str(root / "weights.pth"),
                data_preprocessor=dict(mean=MEAN, std=STD),
            ),
            test_dataloader=dict(
                dataset=dict(
                    type="frozen_det.ImageFolder",
                    data_root=str(root / "data"),
                    split="test",
                    transform=dict(type="frozen_det.EvalTransform", size=64),
                )
            ),
        ),
    )
    return cfg, root / "data"


def labelled(cfg, data, out, store=None):
    """Rows by path and soft vectors of a pool, as the teacher says."""
    teacher, transform = load_teacher(cfg, device="cpu", store=store)
    label_pool(teacher, open_pool(dict(folder=data)), out, batch_size=BATCH, transform=one_by_one(transform))
    vectors = b"".join(path.read_bytes() for path in sorted(out.glob("part-*.logits")))
    return pq.read_table(rows_path(out, 0)).to_pylist(), vectors


def studied(cfg, data, out, store=None):
    candidate = Candidate("one", "config", cfg, None)
    classifier = open_classifier(candidate, BATCH, store)
    images = read_images(cfg, None)
    words = dict(folders=[f"own={data}"], work_dir=out, num_images=None, log=lambda line: None)
    features = pooled_features(classifier, images.pixels, linear_head(classifier.network))
    return study_transfer(classifier, images, candidate, **words), features


def test_what_a_teacher_labelled_a_transfer_study_reads_and_both_say_what_they_say_without(sample, tmp_path):
    cfg, data = sample
    rows, vectors = labelled(cfg, data, tmp_path / "plain")
    found, features = studied(cfg, data, tmp_path / "plain-study")
    first = FeatureStore(tmp_path / "features")
    assert labelled(cfg, data, tmp_path / "labels", first) == (rows, vectors) and len(vectors) > 0
    assert (first.num_written, first.num_read) == (16, 0)
    second = FeatureStore(tmp_path / "features")
    read, read_features = studied(cfg, data, tmp_path / "study", second)
    assert (second.num_written, second.num_read) == (0, 24)  # the test images once more, for their features here
    assert read == found and np.array_equal(read_features, features)
    third = FeatureStore(tmp_path / "features")
    assert labelled(cfg, data, tmp_path / "again", third) == (rows, vectors) and third.num_written == 0


def test_the_test_transform_is_one_function_for_data_set_study_and_teacher(sample):
    cfg, data = sample
    images = read_images(cfg, None)
    paths = [data / "test" / path.split("test/")[-1] for path in images.paths]
    _, transform = load_teacher(cfg, device="cpu")
    as_teacher = one_by_one(transform)
    for path, of_data_set, of_study in zip(paths, images.pixels, images_through(paths, images.fit), strict=True):
        with Image.open(path) as image:
            given = as_teacher(upright_rgb(image))
        assert torch.equal(given, of_data_set) and torch.equal(given, of_study)


def test_every_8_bit_pixel_is_normalised_as_training_and_labelling_have_it():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    expected = ImagePreprocessor(MEAN, STD)(dict(inputs=levels))["inputs"]
    classifier = StudyClassifier(torch.nn.Linear(1, 1), MEAN, STD)
    assert torch.equal(normalised(classifier, levels), expected)
    assert torch.equal(classifier.normalised(levels.double().div(255).float()), expected)


def test_an_attack_is_the_same_with_a_cache(sample, tmp_path):
    cfg, _ = sample
    store, images = FeatureStore(tmp_path), read_images(cfg, None)
    attacked = []
    for given in (None, store):
        classifier = open_classifier(Candidate("one", "config", cfg, None), BATCH, given)
        classifier.logits(images.pixels)
        attacked.append(fgsm(classifier, unit(images.pixels), images.labels, 8 / 255))
    assert torch.equal(*attacked) and not torch.equal(attacked[0], unit(images.pixels))
    assert (store.num_written, store.num_read) == (8, 0)
