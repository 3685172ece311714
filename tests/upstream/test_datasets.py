"""Classification data: listing, reading, draws that follow from (run seed, epoch, index), one message a fault."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.epoch import EpochSampler
from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError
from frozen_det.registry import DATASETS
from frozen_det.upstream.datasets import ImageFolder, ImageList, collate_images

from .image_sets import write_folder

COUNTS = {"ash": 4, "birch": 3, "cedar": 5}
PAD_CROP_FLIP = dict(type="frozen_det.CifarTrain", padding=2)


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path, COUNTS)


def batches(dataset, epoch=0, seed=0, batch_size=5, num_workers=0):
    sampler = EpochSampler(dataset, seed=seed)
    sampler.set_epoch(epoch)
    return list(
        DataLoader(dataset, batch_size=batch_size, sampler=sampler, collate_fn=collate_images, num_workers=num_workers)
    )


def assert_same_batches(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second):
        assert torch.equal(one["inputs"], other["inputs"])
        assert torch.equal(one["data_samples"]["label"], other["data_samples"]["label"])
        assert one["data_samples"]["path"] == other["data_samples"]["path"]


def test_a_folder_gives_sorted_classes_and_the_pixels_of_its_files(root):
    dataset = DATASETS.build(dict(type="frozen_det.ImageFolder", data_root=str(root)))
    assert dataset.metainfo["classes"] == ("ash", "birch", "cedar") and len(dataset) == 12
    sample = dataset[5]
    path = root / "train" / "birch" / "01.png"
    assert sample["data_samples"] == dict(label=1, path=str(path), index=5)
    assert np.array_equal(sample["inputs"].numpy(), np.asarray(Image.open(path)).transpose(2, 0, 1))
    assert sample["inputs"].dtype == torch.uint8


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_are_the_same_with_other_numbers_of_workers_and_after_a_resume(root, in_memory):
    def dataset():
        return ImageFolder(root, transform=PAD_CROP_FLIP, in_memory=in_memory)

    alone = batches(dataset(), epoch=3)
    assert_same_batches(alone, batches(dataset(), epoch=3, num_workers=2))
    assert not torch.equal(alone[0]["inputs"], batches(dataset(), epoch=4)[0]["inputs"])
    assert not torch.equal(alone[0]["inputs"], batches(dataset(), epoch=3, seed=1)[0]["inputs"])


def test_images_in_memory_give_the_batches_of_images_in_files(root):
    assert_same_batches(
        batches(ImageFolder(root, transform=PAD_CROP_FLIP, in_memory=True)),
        batches(ImageFolder(root, transform=PAD_CROP_FLIP)),
    )


def test_one_image_has_other_draws_in_each_epoch_and_run(root):
    dataset = ImageFolder(root, transform=dict(type="frozen_det.CifarTrain", padding=4, flip=0.5), in_memory=True)
    drawn = [dataset[SampleIndex(0, seed, epoch)]["inputs"] for seed in range(3) for epoch in range(3)]
    distinct = {tensor.numpy().tobytes() for tensor in drawn}
    assert len(distinct) >= 8
    assert torch.equal(dataset[SampleIndex(0, 2, 1)]["inputs"], drawn[7])


def test_val_takes_its_classes_from_train(root):
    write_folder(root, {"cedar": 2, "ash": 1, "birch": 1}, split="val")
    dataset = ImageFolder(root, split="val")
    assert [sample["data_samples"]["label"] for sample in dataset] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    "counts, said",
    [
        ({"ash": 1, "birch": 1}, r"without 1 of its: 'cedar'.*allow_empty=True"),
        ({"ash": 0, "birch": 1, "cedar": 1}, r"at least one image .* none in 1: 'ash'"),
    ],
)
def test_a_class_without_images_is_one_error_unless_allowed(root, counts, said):
    write_folder(root, counts, split="val")
    with pytest.raises(InputError, match=said):
        ImageFolder(root, split="val")
    labels = [sample["data_samples"]["label"] for sample in ImageFolder(root, split="val", allow_empty=True)]
    assert labels == ([0, 1] if "cedar" not in counts else [1, 2])


def test_a_class_that_train_lacks_is_one_error(root):
    (root / "val").mkdir()
    for name in (*COUNTS, "date"):
        (root / "val" / name).mkdir()
    with pytest.raises(InputError, match=r"the 3 classes of .*train, got 4 classes, 1 that it lacks: 'date'; give"):
        ImageFolder(root, split="val", allow_empty=True)


@pytest.mark.parametrize(
    "make, said",
    [
        (
            lambda root: ImageFolder(root, split="test"),
            r"folder with one folder for each class, got .*test.*set data_root",
        ),
        (lambda root: ImageFolder(root, classes=["ash", "ash"]), r"each once, got \['ash'\] twice \(classes\)"),
        (
            lambda root: ImageFolder(root, split="train/ash", classes_from=None),
            "one folder for each class in .*, got none",
        ),
        (lambda root: ImageFolder(root, on_broken="hide"), r"'error' or 'skip', got 'hide' \(dataset.on_broken\)"),
        (lambda root: ImageFolder(root, num_images=13), r"num_images in 1\.\.12.* got 13"),
        (
            lambda root: ImageFolder(root, num_images=2),
            r"num_images of at least 3, one image of each class in .*, got 2",
        ),
        (lambda root: ImageFolder(root, num_images=3, fraction=0.5), "fraction or num_images, got both"),
        (lambda root: ImageFolder(root, transform=[PAD_CROP_FLIP, PAD_CROP_FLIP]), "whole batches by itself"),
        (
            lambda root: ImageFolder(root, transform=dict(type="frozen_det.CifarTrain", flip=2)),
            r"probability .* got 2 ",
        ),
    ],
)
def test_bad_settings_are_one_message(root, make, said):
    with pytest.raises(InputError, match=said):
        make(root)


# -- broken images --------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(root):
    path = root / "train" / "birch" / "01.png"
    path.write_bytes(path.read_bytes()[:60])
    return root


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_broken_image_is_an_error_that_names_the_file(broken, in_memory):
    with pytest.raises(InputError, match=r"readable image, got .*birch/01\.png: .*on_broken='skip'"):
        batches(ImageFolder(broken, transform=PAD_CROP_FLIP, in_memory=in_memory))


def test_in_training_the_next_whole_image_takes_the_place_of_a_broken_one(broken, caplog):
    dataset = ImageFolder(broken, transform=PAD_CROP_FLIP, on_broken="skip")
    found = torch.cat([batch["data_samples"]["index"] for batch in batches(dataset, num_workers=2)])
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4, 6, 6, 7, 8, 9, 10, 11]
    assert dataset.broken_paths == [str(broken / "train" / "birch" / "01.png")]


def test_a_broken_image_is_missing_from_what_is_measured(broken):
    dataset = ImageFolder(broken, on_broken="skip", test_mode=True)
    found = torch.cat([batch["data_samples"]["index"] for batch in batches(dataset)])
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_a_broken_image_is_dropped_from_memory_and_counted(broken):
    dataset = ImageFolder(broken, transform=PAD_CROP_FLIP, in_memory=True, on_broken="skip")
    assert len(dataset) == 11 and dataset.broken_paths == [str(broken / "train" / "birch" / "01.png")]
    labels = torch.cat([batch["data_samples"]["label"] for batch in batches(dataset)])
    assert torch.bincount(labels).tolist() == [4, 2, 5]


def test_a_folder_of_broken_images_ends(tmp_path):
    write_folder(tmp_path, {"ash": 2})
    for path in (tmp_path / "train" / "ash").iterdir():
        path.write_bytes(b"no image")
    for in_memory in (True, False):
        with pytest.raises(InputError, match="at least one readable image in"):
            batches(ImageFolder(tmp_path, transform=PAD_CROP_FLIP, on_broken="skip", in_memory=in_memory))


# -- lists ----------------------------------------------------------------------------------------------------------


def write_list(root, lines):
    path = root / "labels.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_list_gives_labels_and_paths_with_spaces(root):
    (root / "an ash.png").write_bytes((root / "train" / "ash" / "00.png").read_bytes())
    dataset = ImageList(write_list(root, ["an ash.png 7", "", "train/cedar/00.png 0"]), num_classes=8)
    assert [dataset[i]["data_samples"] for i in range(2)] == [
        dict(label=7, path=str(root / "an ash.png"), index=0),
        dict(label=0, path=str(root / "train/cedar/00.png"), index=1),
    ]
    assert dataset.metainfo["classes"] == tuple("01234567")


@pytest.mark.parametrize(
    "lines, said",
    [
        (["a.png 3"], r"a label in 0\.\.2, got '3' \(.*labels\.txt, line 1\); count classes from 0"),
        (["a.png 1", "b.png -1"], "got '-1' .*line 2"),
        (["a.png"], "got 'a.png' .*line 1"),
        ([], "at least one image, got none in .*labels.txt"),
    ],
)
def test_a_bad_list_is_one_message(tmp_path, lines, said):
    with pytest.raises(InputError, match=said):
        ImageList(write_list(tmp_path, lines), num_classes=3)


def test_a_list_needs_the_number_of_classes_and_a_file(tmp_path):
    with pytest.raises(InputError, match="expected num_classes or classes"):
        ImageList(write_list(tmp_path, ["a.png 0"]))
    with pytest.raises(InputError, match="lines 'path index', got .*absent.txt"):
        ImageList(tmp_path / "absent.txt", num_classes=3)


def test_all_valid_labels_come_by_the_number_in_the_file_name_by_order_or_by_path(tmp_path):
    def multi(lines, labels):
        (tmp_path / "real.json").write_text(json.dumps(labels))
        dataset = ImageList(write_list(tmp_path, lines), num_classes=5, multi_labels=tmp_path / "real.json")
        return dataset.records.labels_multi

    numbered = ["ILSVRC2012_val_00000003.JPEG 0", "ILSVRC2012_val_00000001.JPEG 1"]
    assert multi(numbered, [[1], [], [0, 4]]) == [[0, 4], [1]]
    assert multi(["b.png 0", "a.png 1"], [[0, 2], []]) == [[0, 2], []]
    assert multi(["x/b.png 0"], {"b.png": [3]}) == [[3]]
    for lines, labels, said in (
        (["a.png 0"], [[0], [1]], "each of the 1 images, got 2"),
        (["a.png 0"], [[5]], r"a label in 0\.\.4, got 5"),
        (["a.png 0"], {"b.png": [0]}, "got none for 'a.png'"),
    ):
        with pytest.raises(InputError, match=said):
            multi(lines, labels)


def test_valid_labels_reach_the_batch(root):
    (root / "real.json").write_text(json.dumps([[0, 1], [2]]))
    list_file = write_list(root, ["train/ash/00.png 0", "train/cedar/00.png 2"])
    dataset = ImageList(list_file, num_classes=3, multi_labels=root / "real.json")
    assert batches(dataset)[0]["data_samples"]["labels_multi"] in ([[0, 1], [2]], [[2], [0, 1]])


def test_the_real_sample_of_imagenet_is_read(real_data):
    dataset = ImageList(real_data / "imagenet_sample" / "labels.txt", num_classes=1000)
    assert len(dataset) == 1000 and sorted(dataset.records.labels.tolist()) == list(range(1000))
    assert dataset[0]["inputs"].shape[0] == 3


# -- shares ---------------------------------------------------------------------------------------------------------


def test_a_share_keeps_every_class_and_shares_are_nested(root):
    def ids(**given):
        return set(ImageFolder(root, **given).fraction_record["ids"])

    few, more = ids(num_images=3), ids(fraction=dict(share=0.5, seed=0))
    assert len(few) == 3 and {name.split("/")[0] for name in few} == set(COUNTS)
    assert few < more and len(more) == 6
    assert ids(fraction=dict(share=0.5, seed=1)) != more


def test_the_command_line_can_set_a_share(root):
    from mmengine.config import Config

    from frozen_det.datasets.samplers.data_fraction import put_fraction

    cfg = Config(dict(train_dataloader=dict(dataset=dict(type="frozen_det.ImageFolder", data_root=str(root)))))
    put_fraction(cfg, 0.25)
    assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 3


# -- CIFAR ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """torchvision's layout with three images a file; its check of the real files' digests is off."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        content = {"data": rng.integers(0, 256, (3, 3072), dtype=np.uint8), "labels": [0, 9, 4]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"c{number}" for number in range(10)]}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return tmp_path


def test_cifar_in_its_python_format_gives_the_pixels_of_the_file(cifar_root):
    dataset = DATASETS.build(
        dict(
            type="frozen_det.Cifar",
            data_root=str(cifar_root),
            split="test",
            transform=dict(type="frozen_det.CifarEval"),
            test_mode=True,
        )
    )
    stored = pickle.loads((cifar_root / "cifar-10-batches-py" / "test_batch").read_bytes())
    assert len(dataset) == 3 and dataset.metainfo["classes"][9] == "c9"
    sample = dataset[1]
    assert sample["data_samples"] == dict(label=9, path="cifar10/test/00001", index=1)
    assert np.array_equal(sample["inputs"].numpy(), stored["data"][1].reshape(3, 32, 32))


def test_a_share_of_cifar_keeps_pixels_and_labels_together(cifar_root):
    whole = DATASETS.build(dict(type="frozen_det.Cifar", data_root=str(cifar_root)))
    share = DATASETS.build(dict(type="frozen_det.Cifar", data_root=str(cifar_root), num_images=6))
    whole_by_path = {one["data_samples"]["path"]: one for one in whole}
    for one in share:
        other = whole_by_path[one["data_samples"]["path"]]
        assert torch.equal(one["inputs"], other["inputs"])
        assert one["data_samples"]["label"] == other["data_samples"]["label"]


def test_cifar_that_is_not_there_is_one_message(tmp_path):
    with pytest.raises(InputError, match=r"files of cifar100 in .*download=True"):
        DATASETS.build(dict(type="frozen_det.Cifar", data_root=str(tmp_path), name="cifar100"))
    with pytest.raises(InputError, match="got 'mnist' and 'train'"):
        DATASETS.build(dict(type="frozen_det.Cifar", data_root=str(tmp_path), name="mnist"))


# -- collating ------------------------------------------------------------------------------------------------------


def test_images_of_two_sizes_and_a_batch_of_nothing_are_one_message():
    def sample(size):
        return dict(inputs=torch.zeros(3, size, size, dtype=torch.uint8), data_samples=dict(label=0, index=0, path="a"))

    with pytest.raises(InputError, match=r"one size in a batch, got \(3, 4, 4\) and \(3, 5, 5\)"):
        collate_images([sample(5), sample(4)])
    with pytest.raises(InputError, match="readable image in a batch of 2, got none"):
        collate_images([None, None])
    assert collate_images([None, sample(4)])["inputs"].shape == (1, 3, 4, 4)
