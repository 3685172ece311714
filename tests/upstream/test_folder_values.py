"""The values that a config takes from an image folder: numbers by stated rules, said in one line; what is set wins."""

import pytest
import torch
from PIL import Image

from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.upstream.folder_values import FolderValues, side_of

NAME = "custom_imagefolder"
TINY = {
    "model.backbone": dict(_delete_=True, type="frozen_det.CifarResNet", depth=8),
    "model.weights": None,
}


def write(root, sizes, classes=("ash", "birch")):
    """CLASS/NUMBER.png of each size (width, height)."""
    for name in classes:
        (root / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.new("RGB", size).save(root / name / f"{number}.png")
    return root


def values(cfg):
    data = cfg.train_dataloader
    return cfg.model.num_classes, data.dataset.transform.size, data.batch_size, cfg.train_cfg.max_epochs


def test_without_data_the_config_has_its_own_values():
    assert values(load_config(NAME)) == (2, 224, 32, 30)


def test_classes_size_batch_and_epochs_follow_from_the_images_and_are_said(tmp_path, capsys):
    root = write(tmp_path, [(200, 300), (170, 150), (161, 400), (500, 500), (161, 161)], ("ash", "birch", "cedar"))
    cfg = load_config(NAME, {"data_root": str(root)})
    # 12 of 15 images train, in one step an epoch; 161 px as a multiple of 32.
    assert values(cfg) == (3, 160, 12, 300)
    assert cfg.val_dataloader.dataset.transform.size == 160 and cfg.val_dataloader.batch_size == 12
    assert "from_data" not in cfg
    assert [line.strip() for line in capsys.readouterr().err.splitlines()] == [
        f"{root}: 3 classes, 12 training images (4 to 4 a class), 3 validation images (drawn by seed)",
        "from the data: num_classes=3, image_size=160 (short sides 161 px, pretrained at 224), batch_size=12, "
        "epochs=300 (300 updates of 12 images)",
    ]


@pytest.mark.parametrize(
    ("short", "own", "side"),
    [
        (32, 224, 128),
        (127, 224, 128),
        (224, 224, 224),
        (255, 224, 224),
        (256, 224, 256),
        (4000, 224, 256),
        (4000, 380, 416),
        (100, 518, 288),
        (8, 32, 32),
        (64, 32, 32),
        (4, 24, 24),
        (100, 24, 24),
        (100, None, 96),
        (9, None, 32),
    ],
)
def test_the_side_stays_between_half_of_the_pretrained_one_and_a_seventh_more(short, own, side):
    assert side_of(short, own) == side


def test_a_network_of_one_size_keeps_it(tmp_path):
    vit = dict(type="timm", name="vit_tiny_patch16_224", depth=1)
    options = {"model.backbone": dict(vit, _delete_=True), "model.weights": None}
    root = write(tmp_path, [(160, 160)] * 2)
    assert values(load_config(NAME, {"data_root": str(root), **options}))[1] == 224


def rates(cfg, steps_an_epoch):
    """The learning rate of every step of a run."""
    from frozen_det.registry import PARAM_SCHEDULERS

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    (given,) = cfg.param_scheduler
    built = PARAM_SCHEDULERS.build(dict(given, optimizer=optimizer, epoch_length=steps_an_epoch))
    found = []
    for _ in range(cfg.train_cfg.max_epochs * steps_an_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    return found


def test_the_warm_up_is_a_twentieth_of_the_steps_whatever_the_length(tmp_path):
    root = write(tmp_path, [(32, 32)] * 60)
    for updates, epochs in ((45, 15), (1, 10), (10_000, 300)):
        cfg = load_config(NAME, {"data_root": str(root), "from_data.updates": updates, **TINY})
        assert values(cfg)[2:] == (32, epochs)
        found = rates(cfg, 3)
        assert max(found) == found[int(0.05 * epochs * 3)] == 1.0
        assert found[0] == (1e-5 if 0.05 * epochs * 3 >= 1 else 1.0)


def test_a_run_too_short_for_a_warm_up_begins_at_the_full_rate():
    assert rates(load_config(NAME, {"epochs": 2, **TINY}), 1) == pytest.approx([1.0, (1 + 1e-5) / 2])


@pytest.mark.parametrize("epochs", ["epochs", "train_cfg.max_epochs"])
@pytest.mark.parametrize("batch", ["batch_size", "train_dataloader.batch_size"])
def test_what_is_set_is_not_looked_for(tmp_path, capsys, epochs, batch):
    root = write(tmp_path, [(64, 64)] * 4)
    cfg = load_config(NAME, {"data_root": str(root), "image_size": 96, epochs: 3, batch: 2, **TINY})
    assert values(cfg) == (2, 96, 2, 3)
    assert cfg.param_scheduler[0].T_max == 3 and cfg.param_scheduler[0].warm_up == pytest.approx(0.15)
    assert "from the data: num_classes=2\n" in capsys.readouterr().err


def test_a_file_of_the_users_own_that_sets_a_name_wins(tmp_path):
    root = write(tmp_path / "data", [(64, 64)] * 4, ("ash", "birch", "cedar"))
    own = tmp_path / "own.py"
    own.write_text(f"_base_ = 'frozen_det::{NAME}.py'\ndata_root = {str(root)!r}\nimage_size = 96\nepochs = 2\n")
    assert values(load_config(own, TINY)) == (3, 96, 9, 2)


def test_the_record_of_a_run_needs_no_data(tmp_path):
    root = write(tmp_path / "data", [(64, 64)] * 4, ("ash", "birch", "cedar"))
    cfg = load_config(NAME, {"data_root": str(root), **TINY})
    cfg.dump(tmp_path / "record.py")
    (root / "date").mkdir()
    assert values(load_config(tmp_path / "record.py")) == values(cfg)


def test_what_may_not_be_meant_is_said_with_counts(tmp_path, capsys):
    write(tmp_path / "train", [(32, 32)] * 3, ("Ash", "ash", "oak/red", "oak/white"))
    write(tmp_path / "val", [(32, 32)], ("ash", "oak"))
    (tmp_path / "pool").mkdir()
    (tmp_path / "train/ash/notes.txt").touch()
    (tmp_path / "val/ash/Thumbs.db").touch()
    (tmp_path / "loose.png").touch()
    (tmp_path / "train/loose.JPG").touch()
    (tmp_path / "train/._loose.jpg").touch()
    load_config(NAME, {"data_root": str(tmp_path), **TINY})
    assert capsys.readouterr().err.splitlines()[:-1] == [
        f"{tmp_path}: 3 classes, 12 training images (3 to 6 a class), 2 validation images (in val)",
        "  left out 2 files that are no images (1 .txt, 1 .db)",
        "  2 images outside the class folders are not read",
        "  not read: 'pool', beside the splits",
        "  2 folders below the class folders count for their class: 'oak/red', 'oak/white'",
        "  classes that differ by case, blanks or Unicode form alone: 'Ash', 'ash'",
        "  1 classes without validation images: 'Ash'",
    ]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: [file.unlink() for file in (root / "birch").iterdir()], "got none in 1: 'birch'"),
        (
            lambda root: [file.write_bytes(b"no image") for file in (root / "ash").iterdir()],
            r"a readable image, got .*ash/[01]\.png",
        ),
        (
            lambda root: (root / "birch").rename(root / "ash/birch"),
            "at least two class folders in .*, got one, 'ash': there is nothing to tell apart",
        ),
        (
            lambda root: [file.unlink() for file in root.glob("*/1.png")],
            "images to validate on in .*, got classes of one image each, which train",
        ),
    ],
)
def test_data_that_no_training_could_use_are_refused_before_anything_is_built(tmp_path, break_it, said):
    break_it(write(tmp_path, [(32, 32)] * 2))
    with pytest.raises(InputError, match=said):
        load_config(NAME, {"data_root": str(tmp_path), **TINY})


@pytest.mark.parametrize("split", ["val", "test", None])
def test_the_quick_loops_classifier_has_the_classes_of_the_data_in_any_tree(tmp_path, split):
    from frozen_det.registry import DATASETS

    write(tmp_path / ("train" if split else ""), [(12, 12)] * 2, [f"class {place}" for place in range(5)])
    if split:
        write(tmp_path / split, [(12, 12)], [f"class {place}" for place in range(5)])
    cfg = load_config("noisy_student/resnet8_noisy_folder", {"data_root": str(tmp_path)})
    assert cfg.model.num_classes == 5 and len(DATASETS.build(cfg.test_dataloader.dataset)) == 5


def test_data_of_another_kind_are_refused_beside_a_rule_for_folders(tmp_path):
    root = write(tmp_path, [(32, 32)] * 2)
    with pytest.raises(
        InputError, match=r"Set from_data=None, and num_classes, image_size, batch_size, epochs yourself"
    ):
        load_config(NAME, {"data_root": str(root), "val_dataloader.dataset.val_share": None})


@pytest.mark.parametrize("rule", [dict(names=["image_sise"]), dict(updates=0), dict(updates=2.5)])
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(InputError, match="expected from_data with names of num_classes, image_size"):
        FolderValues(**rule)
