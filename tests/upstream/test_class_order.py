"""A classifier and a folder with other classes or another order of them: matched by name, or refused with both."""

import copy
import shutil

import pytest
import torch

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.upstream.fixres.resolution import SizedImages, measure

from .classifier_runs import run, tiny_config, tree_pictures

TREES = ("ash", "birch", "cedar")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tree_pictures(tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    cfg = tiny_config(data, tmp_path_factory.mktemp("run"), 4)
    run(cfg)
    return cfg, f"{cfg.work_dir}/epoch_4.pth"


def numbers_of(cfg, checkpoint, work_dir, classes=None, **options):
    """Metrics of a test with the data's classes in an order of their own."""
    from frozen_det.engine.runs import new_runner

    cfg = copy.deepcopy(cfg)
    cfg.load_from, cfg.work_dir = checkpoint, str(work_dir)
    cfg.experiment_name = f"test{abs(hash(str(work_dir)))}"
    cfg.test_dataloader.dataset.update(options)
    if classes:
        cfg.test_dataloader.dataset.classes = classes
    runner = new_runner(cfg)
    if checkpoint is None:
        runner.model.init_weights()
    return runner.test()


@pytest.mark.parametrize("weights", [False, True])
def test_another_order_of_the_folders_gives_the_same_numbers(trained, tmp_path, weights):
    cfg, path = trained
    own = numbers_of(cfg, path, tmp_path / "own")
    assert own["top1"] > 60  # in another order at most 40 could be right
    if weights:  # as model.weights of a config, without a checkpoint
        cfg = copy.deepcopy(cfg)
        cfg.model.weights = path
    other = numbers_of(cfg, None if weights else path, tmp_path / "other", ("cedar", "ash", "birch"))
    assert other == pytest.approx(own)


def test_other_folders_are_refused_with_both_lists(trained, data, tmp_path, capsys):
    cfg, path = trained
    shutil.copytree(data, tmp_path / "rocks")
    for folder in sorted((tmp_path / "rocks").glob("*/*")):
        folder.rename(folder.with_name(dict(zip(TREES, ("basalt", "granite", "slate")))[folder.name]))
    cfg.dump(str(tmp_path / "config.py"))
    assert (
        main(
            [
                "test",
                str(tmp_path / "config.py"),
                path,
                "--work-dir",
                str(tmp_path / "work"),
                "--cfg-options",
                f"data_root={tmp_path / 'rocks'}",
            ]
        )
        == 2
    )
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("frozen-det test:")]
    assert len(said) == 1 and "('ash', 'birch', 'cedar')" in said[0] and "('basalt', 'granite', 'slate')" in said[0]


def test_names_that_are_numbers_and_weights_without_names_pass(trained, data, tmp_path):
    cfg, path = trained
    own = numbers_of(cfg, path, tmp_path / "own")
    listing = tmp_path / "list.txt"
    listing.write_text(
        "".join(
            f"{file} {label}\n" for label, name in enumerate(TREES) for file in sorted((data / "test" / name).iterdir())
        )
    )
    cfg = copy.deepcopy(cfg)
    cfg.test_dataloader.dataset = dict(
        type="frozen_det.ImageList",
        ann_file=str(listing),
        num_classes=3,
        test_mode=True,
        transform=dict(type="frozen_det.CifarEval"),
    )
    assert numbers_of(cfg, path, tmp_path / "list")["top1"] == own["top1"]
    nameless = torch.load(path, weights_only=False)
    torch.save({"state_dict": nameless["state_dict"]}, tmp_path / "nameless.pth")
    assert numbers_of(cfg, str(tmp_path / "nameless.pth"), tmp_path / "nameless")["top1"] == own["top1"]


def test_a_kept_head_trains_on_its_own_classes_alone(trained, tmp_path):
    cfg, path = trained
    cfg = copy.deepcopy(cfg)
    cfg.model.weights, cfg.work_dir = path, str(tmp_path / "work")
    cfg.train_dataloader.dataset.classes = ("cedar", "ash", "birch")
    with pytest.raises(InputError, match="each label would mean another class"):
        run(cfg)
    cfg.model.weights = dict(path=path, head="new")
    cfg.train_cfg.max_epochs, cfg.val_dataloader.dataset.classes = 1, ("cedar", "ash", "birch")
    run(cfg)


def test_a_sweep_of_test_sizes_refuses_another_order(trained):
    from frozen_det.upstream.fixres.resolution_sweep import load_model

    cfg, path = trained
    model = load_model(cfg, path)
    assert model.stated_classes == TREES
    cfg = copy.deepcopy(cfg)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.transform = dict(type="frozen_det.EvalTransform", size=12, crop_ratio=1.0)
    assert measure(model, SizedImages(cfg).batches(12, 1.0)).numbers["num_images"] == 7
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.classes = ("cedar", "ash", "birch")
    with pytest.raises(InputError, match="each label would mean another class"):
        measure(model, SizedImages(cfg).batches(12, 1.0))
