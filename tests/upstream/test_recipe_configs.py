"""Recipe configs hold the values of their papers; each builds its network, loss, mixing and transforms.

Values are written here from the sources, not read from the configs' bases.
"""

import ast
import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS

from frozen_det.config import load_config
from frozen_det.registry import DATA_SAMPLERS, FUNCTIONS, TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted((CONFIGS / "upstream").glob("*.py"))
# {arch}_{recipe}_{data}
NAME = re.compile(r"[a-z0-9-]+_[a-z0-9-]+_[a-z0-9-]+")
# arXiv 2110.00476, Table 2; timm's hyper-parameters and mmpretrain's configs agree.
RSB = {
    "a1": dict(size=224, epochs=600, lr=5e-3, weight_decay=0.01, smoothing=0.1, threshold=None, drop_path=0.05,
               repeats=3, rand_augment="rand-m7-mstd0.5-inc1", mixup=0.2),
    "a2": dict(size=224, epochs=300, lr=5e-3, weight_decay=0.02, smoothing=0.0, threshold=0.2, drop_path=0.05,
               repeats=3, rand_augment="rand-m7-mstd0.5-inc1", mixup=0.1),
    "a3": dict(size=160, epochs=100, lr=8e-3, weight_decay=0.02, smoothing=0.0, threshold=0.2, drop_path=0.0,
               repeats=1, rand_augment="rand-m6-mstd0.5-inc1", mixup=0.1),
}
RSB_FILES = [path for path in FILES if re.fullmatch(r"(resnet\d+|deit-small)_rsb-a[123]_imagenet1k", path.stem)]
# timm's results on ImageNet val at 224 px for A1, A2, A3.
TIMM = {18: (71.50, 70.63, 68.25), 34: (76.42, 75.52, 73.00), 50: (80.38, 79.83, 78.05), 101: (81.49, 81.34, 79.84),
        152: (82.00, 81.76, 80.55)}


def said(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def bases(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_base_":
            return [path.parent / name for name in ast.literal_eval(node.value)]
    return []


def depth(path):
    return max((1 + depth(base) for base in bases(path)), default=0)


def stems(paths):
    return [path.stem for path in paths]


@pytest.mark.parametrize("path", FILES, ids=stems(FILES))
def test_a_config_says_what_it_is(path):
    assert NAME.fullmatch(path.stem)
    text = said(path)
    assert "expected: " in text and "frozen-det t" in text
    assert "_given_" in path.stem or re.search(r"arXiv \d{4}\.\d{5}|pytorch/vision", text)
    assert depth(path) <= 2


@pytest.mark.parametrize("path", FILES, ids=stems(FILES))
def test_a_config_builds_all_its_parts(path):
    cfg = load_config(path)
    model = cfg.model
    from frozen_det.upstream.networks import build_network

    with torch.device("meta"):
        network = build_network(model.backbone, model.num_classes).module
    assert sum(parameter.numel() for parameter in network.parameters()) > 2e5
    for part in ("mixing", "loss"):
        if model.get(part):
            ROOT_MODELS.build(model[part])
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        if loader is not None:
            TRANSFORMS.build(loader.dataset.transform)
            assert FUNCTIONS.get(loader.collate_fn.type) is not None
            assert DATA_SAMPLERS.get(loader.sampler.type) is not None
    if cfg.get("train_dataloader"):
        ends = [scheduler.end for scheduler in cfg.param_scheduler if scheduler.by_epoch and scheduler.get("end")]
        assert all(end <= cfg.train_cfg.max_epochs for end in ends)


def test_all_fifteen_recipes_of_rsb_are_there():
    assert {path.stem for path in RSB_FILES} >= {f"resnet{size}_rsb-a{recipe}_imagenet1k" for size in TIMM
                                                for recipe in (1, 2, 3)}


@pytest.mark.parametrize("path", RSB_FILES, ids=stems(RSB_FILES))
def test_rsb_has_the_values_of_its_table(path):
    cfg, want = load_config(path), RSB[re.search(r"rsb-(a\d)", path.stem).group(1)]
    transform = TRANSFORMS.build(cfg.train_dataloader.dataset.transform)
    assert transform.size == want["size"]
    assert transform.settings == dict(interpolation="bicubic", rand_augment=want["rand_augment"], trivial_augment=False,
                                      color_jitter=0.0, lighting=0.0, erase_prob=0.0, erase_mode="mean")
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        evaluation = TRANSFORMS.build(loader.dataset.transform)
        assert (evaluation.size, evaluation.resize) == (224, 235)
        assert evaluation.steps[0].interpolation.value == "bicubic"
    sampler = cfg.train_dataloader.sampler
    assert sampler.get("num_repeats", 1) == want["repeats"]
    assert sampler.type == ("frozen_det.RepeatAugSampler" if want["repeats"] == 3 else "frozen_det.EpochSampler")
    assert cfg.model.backbone.get("drop_path_rate", 0.0) == want["drop_path"]
    loss, mixing = ROOT_MODELS.build(cfg.model.loss), ROOT_MODELS.build(cfg.model.mixing)
    assert type(loss).__name__ == "BinaryCrossEntropy"
    assert (loss.label_smoothing, loss.target_threshold) == (want["smoothing"], want["threshold"] or 0.0)
    assert not loss.sum_to_one and loss.loss.sum_classes is False
    assert (mixing.mixup_alpha, mixing.cutmix_alpha, mixing.prob, mixing.switch_prob) == (want["mixup"], 1.0, 1.0, 0.5)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer == dict(type="frozen_det.Lamb", lr=want["lr"], weight_decay=want["weight_decay"])
    assert cfg.optim_wrapper.constructor == "frozen_det.DecayGroups" and "clip_grad" not in cfg.optim_wrapper
    assert not any(hook["type"].endswith("EMAHook") for hook in cfg.custom_hooks)


@pytest.mark.parametrize("path", RSB_FILES, ids=stems(RSB_FILES))
def test_the_rate_of_rsb_warms_up_from_1e_4_over_five_epochs_and_falls_to_1e_6(path):
    from mmengine.registry import PARAM_SCHEDULERS

    cfg, want = load_config(path), RSB[re.search(r"rsb-(a\d)", path.stem).group(1)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    schedulers = [PARAM_SCHEDULERS.build(dict(one), default_args=dict(optimizer=optimizer))
                  for one in cfg.param_scheduler]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert len(rates) == want["epochs"]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == pytest.approx(want["lr"], rel=1e-3)
    assert all(first < second for first, second in zip(rates[:4], rates[1:5]))
    assert all(first > second for first, second in zip(rates[6:], rates[7:]))
    # mmengine's recursion ends one step above the bottom.
    assert 1e-6 <= optimizer.param_groups[0]["lr"] < 4e-6


@pytest.mark.parametrize("path", RSB_FILES, ids=stems(RSB_FILES))
def test_an_update_of_rsb_is_of_2048_images(path):
    cfg = load_config(path)
    assert cfg.accumulate * cfg.train_dataloader.batch_size == 2048
    assert cfg.optim_wrapper.accumulative_counts == 8
    # What mmengine divides by, after the accumulation was taken out: the rate is not scaled.
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size


@pytest.mark.parametrize("size", TIMM)
@pytest.mark.parametrize("place", range(3))
def test_a_recipe_of_rsb_expects_what_timm_measured(size, place):
    text = said(CONFIGS / "upstream" / f"resnet{size}_rsb-a{place + 1}_imagenet1k.py")
    assert f"expected: {TIMM[size][place]:.2f} top-1" in text


def test_stochastic_depth_grows_linearly_to_its_value_at_the_last_of_sixteen_blocks():
    from frozen_det.upstream.networks import build_network

    cfg = load_config(CONFIGS / "upstream" / "resnet50_rsb-a2_imagenet1k.py")
    with torch.device("meta"):
        network = build_network(cfg.model.backbone, 1000).module
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in range(1, 5)
             for block in getattr(network, f"layer{stage}")]
    assert rates == pytest.approx([0.05 * place / 15 for place in range(16)])


def test_ablations_of_the_loss_differ_from_a2_in_the_loss_alone():
    a2 = load_config(CONFIGS / "upstream" / "resnet50_rsb-a2_imagenet1k.py").to_dict()
    losses = {"ce": dict(type="frozen_det.SoftTargetCrossEntropy"),
              "sumtoone": dict(type="frozen_det.BinaryCrossEntropy", target_threshold=None, sum_to_one=True)}
    for name, loss in losses.items():
        other = load_config(CONFIGS / "upstream" / f"resnet50_rsb-a2-{name}_imagenet1k.py").to_dict()
        assert other["model"].pop("loss") == loss
        assert other == {**a2, "model": {key: value for key, value in a2["model"].items() if key != "loss"}}


def test_the_arms_of_cutmix_differ_in_model_alone_and_have_its_settings():
    def config(name):
        return load_config(CONFIGS / "upstream" / f"{name}.py").to_dict()

    mixings = ("cutout", "mixup", "cutmix", "feature-cutmix", "manifold-mixup")
    for arch, data, arms in (("resnet50", "imagenet1k", (*mixings, "stochastic-depth", "dropblock")),
                             ("resnet20", "cifar10", mixings)):
        plain = config(f"{arch}_plain_{data}")
        plain.pop("model")
        for arm in arms:
            other = config(f"{arch}_{arm}_{data}")
            mixing = other.pop("model").get("mixing")
            assert other == plain
            if arm.endswith("cutmix"):
                assert mixing["cutmix_alpha"] == 1.0 and mixing["prob"] == (0.5 if data == "cifar10" else 1.0)
            if arm == "cutout":
                assert mixing["cutout_size"] == (16 if data == "cifar10" else 112)


@pytest.mark.parametrize("name, epochs, batch, lr, milestones", [
    ("resnet50_cutmix_imagenet1k", 300, 256, 0.1, [75, 150, 225]),
    ("pyramidnet200_cutmix_cifar100", 300, 64, 0.25, [150, 225]),
    ("pyramidnet200_cutmix_cifar10", 300, 64, 0.25, [150, 225]),
])
def test_cutmix_trains_as_its_authors_did(name, epochs, batch, lr, milestones):
    cfg = load_config(CONFIGS / "upstream" / f"{name}.py")
    assert cfg.optim_wrapper.optimizer.to_dict() == dict(type="SGD", lr=lr, momentum=0.9, nesterov=True,
                                                         weight_decay=1e-4)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (epochs, batch)
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert (cfg.param_scheduler[0].milestones, cfg.param_scheduler[0].gamma) == (milestones, 0.1)


def test_two_architectures_stand_under_each_others_recipes():
    for arch in ("resnet50", "deit-small"):
        for recipe in ("rsb-a2", "deit"):
            assert (CONFIGS / "upstream" / f"{arch}_{recipe}_imagenet1k.py").is_file()


def test_an_overridden_data_root_reaches_every_split():
    for name in ("resnet50_rsb-a2_imagenet1k", "pyramidnet200_cutmix_cifar100", "resnet20_cutmix_cifar10"):
        cfg = load_config(CONFIGS / "upstream" / f"{name}.py", {"data_root": "elsewhere"})
        roots = {cfg[f"{split}_dataloader"].dataset.data_root for split in ("train", "val", "test")}
        assert roots == {"elsewhere"}
