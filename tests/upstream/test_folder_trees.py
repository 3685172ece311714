"""A user's image folder: its tree is found, divided by seed where it has no split, and what is left out is counted."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.upstream.datasets import ImageFolder
from frozen_det.upstream.folder_trees import find_tree, read_tree
from frozen_det.upstream.noisy_student.pool import sources_of

from .image_sets import write_folder


def tree(root, *files):
    """Empty files where only the listing matters."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def paths(root, split, **given):
    records = read_tree(root, split, 0.25, **given)
    return [os.path.relpath(records.path(place), root) for place in range(len(records))]


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train", "val", "val"),
        ("Train", "Valid", "val"),
        ("training", "validation", "val"),
        ("train", "test", "val"),
        ("train", "val", "test"),
        ("TRAIN", "Testing", "test"),
    ],
)
def test_splits_are_found_under_their_usual_names_and_stand_in_for_each_other(tmp_path, train, other, split):
    tree(tmp_path, f"{train}/ash/0.png", f"{train}/birch/0.png", f"{other}/birch/1.png", f"{other}/ash/1.png")
    assert paths(tmp_path, "train") == [f"{train}/ash/0.png", f"{train}/birch/0.png"]
    assert paths(tmp_path, split) == [f"{other}/ash/1.png", f"{other}/birch/1.png"]


@pytest.mark.parametrize("above", ["", "train/"])
def test_without_a_split_a_share_of_each_class_validates_and_a_single_image_trains(tmp_path, above):
    counts = {"ash": 8, "birch": 2, "cedar": 1}
    tree(tmp_path, *(f"{above}{name}/{place}.png" for name, count in counts.items() for place in range(count)))
    train, val = paths(tmp_path, "train"), paths(tmp_path, "val")
    per_class = [sum(f"{name}/" in path for path in val) for name in counts]
    assert per_class == [2, 1, 0] and len(train) == 8 and not set(train) & set(val)
    assert paths(tmp_path, "test") == val == paths(tmp_path, "val") != paths(tmp_path, "val", seed=1)


def test_a_class_may_be_called_train(tmp_path):
    tree(tmp_path, "bus/0.png", "bus/1.png", "train/0.png", "train/1.png")
    assert read_tree(tmp_path, "train", 0.5).classes == ("bus", "train")


def test_names_with_blanks_accents_and_bytes_that_are_no_text_are_classes_like_others(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    names = ["a b", "grün", "猫", odd]
    tree(tmp_path, *(f"{name}/Bild 0.JPG" for name in names))
    records = read_tree(tmp_path, "train", 0.2)
    assert records.classes == tuple(sorted(names))
    assert all(os.path.exists(records.path(place)) for place in range(len(records)))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "got 0 images and no folder"),
        (["0.png", "1.jpg", "labels.csv"], "got 2 images and no folder; put the images of each class into a folder"),
        (["train/0.png", "val/0.png"], "got 1 images and no folder in train; put the images of each class"),
        (["val/ash/0.png", "val/birch/0.png"], r"got \['val'\] without train"),
        (["train/ash/0.png", "Train/ash/0.png"], r"one folder for train in .*, got \['Train', 'train'\]; keep one"),
        (["photos/train/ash/0.png"], "take that as the data root: data_root=.*/photos"),
        (["photos/ash/0.png", "photos/birch/0.png"], "take that as the data root: data_root=.*/photos"),
        (["ash/0.png", "birch/notes.txt"], "at least one image .* in every class folder of .*, got none in 1: 'birch'"),
        (["train/ash/0.png", "val/Ash/0.png"], "1 that it lacks: 'Ash' .*'Ash' and 'ash' differ by case"),
        (["train/ash/0.png", "val/ash /0.png"], "'ash ' and 'ash' differ by case, blanks or Unicode form alone"),
    ],
)
def test_another_tree_is_one_message_that_says_what_to_do(tmp_path, files, said):
    tree(tmp_path, *files)
    with pytest.raises(InputError, match=said):
        read_tree(tmp_path, "val", 0.2)


def test_a_class_in_the_other_unicode_form_is_named_as_that(tmp_path):
    composed, taken_apart = "grün", unicodedata.normalize("NFD", "grün")
    tree(tmp_path, f"train/{composed}/0.png", f"val/{taken_apart}/0.png")
    with pytest.raises(InputError, match="differ by case, blanks or Unicode form alone: rename one"):
        read_tree(tmp_path, "val", 0.2)


def test_a_root_that_is_a_file_or_nothing_is_one_message(tmp_path):
    tree(tmp_path, "photos.zip")
    with pytest.raises(InputError, match="got a file; unpack archives"):
        find_tree(tmp_path / "photos.zip")
    with pytest.raises(InputError, match="got nothing there"):
        find_tree(tmp_path / "photos")


@pytest.mark.parametrize("share", [0, 1, "0.2", True])
def test_a_share_is_between_none_and_all(tmp_path, share):
    with pytest.raises(InputError, match=r"val_share between 0 and 1, got .* \(dataset.val_share\)"):
        read_tree(tree(tmp_path, "ash/0.png"), "train", share)


def test_files_that_are_no_images_are_counted_by_ending_and_what_systems_leave_is_not_read(tmp_path):
    tree(tmp_path, "ash/0.png", "ash/old/1.webp", "ash/a.txt", "ash/b.TXT", "ash/Thumbs.db", "ash/README")
    tree(tmp_path, "ash/._0.png", "ash/.DS_Store", "ash/.ipynb_checkpoints/0-checkpoint.png", ".git/0.png")
    assert sorted(paths(tmp_path, "train") + paths(tmp_path, "val")) == ["ash/0.png", "ash/old/1.webp"]
    assert read_tree(tmp_path, "train", 0.2).left_out == {".txt": 2, ".db": 1, "no ending": 1}


def test_the_data_set_reads_a_tree_where_it_has_a_share(tmp_path):
    write_folder(tmp_path, {"ash": 4, "birch": 4}, split="")
    train, val = (ImageFolder(tmp_path, split, val_share=0.25) for split in ("train", "val"))
    assert [len(train), len(val)] == [6, 2] and train.metainfo == val.metainfo
    stored = np.asarray(Image.open(val.records.path(0))).transpose(2, 0, 1)
    assert np.array_equal(val[0]["inputs"].numpy(), stored)


def test_images_are_kept_out_of_a_pool_by_the_folder_that_they_are_found_in(tmp_path):
    tree(tmp_path, "Training/ash/0.png", "valid/ash/0.png")
    dataset = dict(type="frozen_det.ImageFolder", data_root=str(tmp_path), split="val", val_share=0.2)
    assert sources_of(dataset) == [dict(folder=str(tmp_path / "valid"))]
