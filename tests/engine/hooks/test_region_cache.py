"""RegionCacheHook: read or computed, the same views end in the same weights; what is not the same is not read."""

import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.hooks import Hook

from frozen_det.engine.hooks.region_cache import RegionCacheHook
from frozen_det.engine.runner.lockstep import Lockstep
from frozen_det.engine.runner.resuming import check_resumable
from frozen_det.engine.runs import new_runner
from frozen_det.errors import InputError
from frozen_det.models.detectors.regions import batch_of_regions, regions_in
from frozen_det.weights.loading import read

from ...models.detectors.test_second_stage import batch, stages
from ...training_runs import tiny_config, tiny_scenes
from .test_second_stage import second_config

EPOCHS, VIEWS, BATCHES = 4, 2, 4
SOFTMAX = dict(type="mmdet.CrossEntropyLoss", use_sigmoid=False)


class Seen(Hook):
    """Which iterations of a training came without images, and their losses."""

    priority = "VERY_LOW"

    def __init__(self):
        self.read, self.losses = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.read.append(regions_in(data_batch["data_samples"]) is not None)
        self.losses.append(outputs["loss"].item())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def first(scenes, tmp_path_factory):
    """A first stage's checkpoint; how well it was trained does not matter."""
    path = tmp_path_factory.mktemp("first") / "first.pth"
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(tiny_config(scenes, path.parent).model))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta={})), path)
    return path


def run(scenes, first, work_dir, hook, epochs=EPOCHS, change=lambda cfg: None):
    """(final layer's weights, what was seen of each iteration) of a second stage."""
    torch.set_num_threads(1)
    cfg = second_config(scenes, work_dir, first)
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks += [hook, dict(type=Seen)]
    change(cfg)
    runner = new_runner(cfg)
    runner.train()
    seen = next(one for one in runner.hooks if isinstance(one, Seen))
    return {name: one.clone() for name, one in runner.model.roi_head.bbox_head.fc_cls.state_dict().items()}, seen


def cache(folder, views=VIEWS, **options):
    return dict(type="frozen_det.RegionCacheHook", views=views, folder=str(folder), **options)


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def runs(scenes, first, tmp_path_factory):
    """By name what :func:`run` gave, and the folder of the cache."""
    root = tmp_path_factory.mktemp("cache")
    found = {"computed": run(scenes, first, root / "a", dict(type="frozen_det.ViewsHook", views=VIEWS))}
    found["recorded"] = run(scenes, first, root / "b", cache(root / "kept"))
    found["read"] = run(scenes, first, root / "c", cache(root / "kept"))
    return found, root


def test_the_same_views_end_in_the_same_weights_computed_recorded_or_read(runs):
    weights, losses = ([runs[0][name][0] for name in runs[0]], [runs[0][name][1].losses for name in runs[0]])
    assert same(weights[0], weights[1]) and same(weights[0], weights[2])
    assert losses[0] == losses[1] == losses[2]


def test_the_first_views_are_computed_and_everything_after_is_read(runs):
    computed, views = [False] * BATCHES * VIEWS, [True] * BATCHES * (EPOCHS - VIEWS)
    assert runs[0]["recorded"][1].read == computed + views
    assert runs[0]["read"][1].read == [True] * BATCHES * EPOCHS


def test_another_loss_reads_the_same_records_and_other_weights_seed_or_data_do_not(runs, scenes, first, tmp_path):
    kept = cache(runs[1] / "kept")

    def read(name, change, start=first):
        return run(scenes, start, tmp_path / name, kept, epochs=1, change=change)[1].read

    assert read("loss", lambda cfg: setattr(cfg.model.detector.roi_head.bbox_head, "loss_cls", SOFTMAX)) == [True] * 4
    assert read("seed", lambda cfg: cfg.randomness.update(seed=1)) == [False] * 4
    moved = torch.load(first, weights_only=False)
    moved["state_dict"][next(name for name in moved["state_dict"] if name.startswith("neck."))] += 0.01
    torch.save(moved, tmp_path / "moved.pth")
    assert read("weights", lambda cfg: None, tmp_path / "moved.pth") == [False] * 4


def test_a_layer_with_other_outputs_starts_anew_and_reads_the_same_records(runs, scenes, first, tmp_path):
    def seesaw(cfg):
        cfg.model.detector.roi_head.bbox_head.loss_cls = dict(type="mmdet.SeesawLoss")
        next(hook for hook in cfg.custom_hooks if hook.type == "frozen_det.SecondStageHook").new_layer = True

    weights, seen = run(scenes, first, tmp_path / "seesaw", cache(runs[1] / "kept"), epochs=1, change=seesaw)
    assert seen.read == [True] * BATCHES
    assert len(weights["weight"]) == len(runs[0]["read"][0]["weight"]) + 1


def test_workers_read_what_the_process_itself_reads(runs, scenes, first, tmp_path):
    def workers(cfg):
        cfg.train_dataloader.update(num_workers=2, persistent_workers=True)

    weights, seen = run(scenes, first, tmp_path / "workers", cache(runs[1] / "kept"), change=workers)
    assert same(weights, runs[0]["read"][0]) and all(seen.read)


def test_a_broken_file_is_computed_again_and_what_does_not_fit_is_computed_each_time(runs, scenes, first, tmp_path):
    shutil.copytree(runs[1] / "kept", tmp_path / "kept")
    largest = max((tmp_path / "kept").iterdir(), key=lambda folder: len(list(folder.rglob("*.safetensors"))))
    file = next(largest.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-8] + b"somebody")
    losses = runs[0]["computed"][1].losses
    _, seen = run(scenes, first, tmp_path / "broken", cache(tmp_path / "kept"), epochs=VIEWS)
    assert seen.read.count(False) == 1 and seen.losses == losses[: BATCHES * VIEWS]
    _, seen = run(scenes, first, tmp_path / "full", cache(tmp_path / "small", views=1, limit="1KB"), epochs=2)
    assert not any(seen.read) and seen.losses[:BATCHES] == losses[:BATCHES]


def test_a_resumed_run_takes_the_steps_of_one_that_went_through(runs, scenes, first, tmp_path):
    def with_checkpoints(cfg):
        cfg.default_hooks.checkpoint = dict(type="frozen_det.LeanCheckpointHook", interval=1)

    def resumed(cfg):
        check_resumable(read(newest), cfg, str(newest))
        cfg.resume, cfg.load_from = True, str(newest)

    kept, newest = cache(runs[1] / "kept"), tmp_path / "half" / f"epoch_{VIEWS}.pth"
    run(scenes, first, tmp_path / "half", kept, epochs=VIEWS, change=with_checkpoints)
    weights, seen = run(scenes, first, tmp_path / "whole", kept, change=resumed)
    assert len(seen.read) == BATCHES * (EPOCHS - VIEWS) and same(weights, runs[0]["computed"][0])


def test_side_by_side_each_ends_with_the_weights_it_has_alone_and_the_later_ones_read(runs, scenes, first, tmp_path):
    def member(name):
        return lambda: run(scenes, first, tmp_path / name, cache(tmp_path / "kept"))

    found = Lockstep({name: [member(name)] for name in ("one", "other")}).run()
    (one, seen), (other, later) = found["one"][0], found["other"][0]
    assert same(one, runs[0]["computed"][0]) and same(other, one)
    assert seen.read.count(False) == BATCHES * VIEWS and all(later.read)


def checked(kind, change=lambda regions: regions):
    """What a hook does with the first batch of a model when it is read as `change` of what it is."""
    _, model = stages(kind)
    images, samples = batch()
    model.train().__dict__["data_preprocessor"] = lambda given, training: given
    held = change(model.regions(images, batch()[1]))
    data = SimpleNamespace(images=lambda name: dict(inputs=images, data_samples=batch()[1]))
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=SimpleNamespace(optim_context=lambda model: nullcontext()),
        train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=data)),
    )
    before = {name: one.clone() for name, one in model.state_dict().items()}
    RegionCacheHook(2, "some/folder")._check(runner, batch_of_regions(held))
    assert same(before, model.state_dict())


def test_regions_that_move_by_the_class_that_the_layer_found_are_refused():
    checked("ours_cascade")  # one box for all classes
    with pytest.raises(
        InputError, match=r"1\.features of the first batch depend on the layer.*reg_class_agnostic=True"
    ):
        checked("hosts_cascade")


def test_a_first_batch_that_is_not_its_record_is_refused():
    with pytest.raises(InputError, match=r"recorded in some/folder .*, but 0\.features differ: .*Delete the folder"):
        checked("ours", lambda regions: {**regions, "0.features": regions["0.features"] + 1e-6})


def test_another_model_and_a_limit_that_is_no_size_are_refused(scenes, tmp_path):
    with pytest.raises(InputError, match="as the limit of the feature cache, got 'much'"):
        RegionCacheHook(2, "folder", limit="much")
    cfg = tiny_config(scenes, tmp_path / "plain")
    cfg.custom_hooks.append(cache(tmp_path / "kept"))
    with pytest.raises(InputError, match="frozen_det.ClassifierStage for frozen_det.RegionCacheHook, got FasterRCNN"):
        new_runner(cfg).train()
