"""CUB-200-2011's text files, and what is refused of them."""

import pytest
from PIL import Image

from frozen_det.datasets.cub import Bird, read_cub
from frozen_det.errors import InputError
from frozen_det.robustness.boxed_images import read_boxed
from frozen_det.upstream.cub_images import CubBirds

FILES = {
    "classes.txt": "1 001.Gull\n2 002.Tern\n",
    "images.txt": "1 001.Gull/a.jpg\n2 002.Tern/b c.jpg\n3 002.Tern/d.jpg\n",
    "image_class_labels.txt": "1 1\n2 2\n3 2\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 1.0 2.0 3.0 4.0\n3 0.0 0.0 9.0 9.0\n",
}


@pytest.fixture
def birds(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for name, size in (("001.Gull/a.jpg", (500, 335)), ("002.Tern/b c.jpg", (40, 30)), ("002.Tern/d.jpg", (20, 20))):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(tmp_path / "images" / name)
    return tmp_path


def test_each_bird_has_its_class_split_and_box(birds):
    found, classes = read_cub(birds)
    assert classes == ("001.Gull", "002.Tern")
    assert found[0] == Bird("001.Gull/a.jpg", 0, "train", (60.0, 27.0, 385.0, 331.0))
    assert [(bird.path, bird.label, bird.split) for bird in found[1:]] == [
        ("002.Tern/b c.jpg", 1, "test"),
        ("002.Tern/d.jpg", 1, "train"),
    ]


def test_a_classifier_reads_them_by_split(birds):
    train, test = CubBirds(str(birds), "train"), CubBirds(str(birds), "test")
    assert train.metainfo["classes"] == test.metainfo["classes"] == ("001.Gull", "002.Tern")
    assert train.records.labels.tolist() == [0, 1] and len(test) == 1
    assert train[0]["inputs"].shape == (3, 335, 500)
    with pytest.raises(InputError, match="dataset.split"):
        CubBirds(str(birds), "val")


def test_localisation_reads_the_test_birds_as_val(birds):
    found, left_out = read_boxed(birds, "val")
    assert left_out == 0 and [(one.category, one.boxes_xyxy, one.size_hw) for one in found] == [
        ("002.Tern", ((1.0, 2.0, 4.0, 6.0),), (30, 40))
    ]
    assert [one.size_hw for one in read_boxed(birds, "train")[0]] == [(335, 500), (20, 20)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("bounding_boxes.txt", "1 60.0 27.0 325.0\n", "bounding_boxes.txt, line 1"),
        ("bounding_boxes.txt", FILES["bounding_boxes.txt"].replace("3.0 4.0", "nan 4.0"), "with an area for image 2"),
        ("bounding_boxes.txt", FILES["bounding_boxes.txt"].replace("1.0 2.0", "x 2.0"), "with an area for image 2"),
        ("train_test_split.txt", "1 1\n2 0\n", "got 2 of 3"),
        ("train_test_split.txt", "1 1\n2 5\n3 1\n", "0 or 1"),
        ("image_class_labels.txt", "1 1\n2 7\n3 2\n", "class '7'"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "each id once"),
        ("classes.txt", "", "classes.txt"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_file(birds, name, text, said):
    (birds / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_cub(birds)


def test_a_missing_file_or_image_is_refused_by_name(birds):
    (birds / "images" / "002.Tern" / "b c.jpg").unlink()
    with pytest.raises(InputError, match="b c.jpg"):
        read_boxed(birds, "val")
    (birds / "classes.txt").unlink()
    with pytest.raises(InputError, match="classes.txt"):
        read_cub(birds)
