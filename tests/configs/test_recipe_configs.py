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

from .test_configs import depth

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted((CONFIGS / "upstream").glob("*.py"))
# {arch}_{recipe}_{data}
NAME = re.compile(r"[a-z0-9-]+_[a-z0-9-]+_[a-z0-9-]+")
# arXiv 2110.00476, Table 2; timm's hyper-parameters and mmpretrain's configs agree.
RSB = {
    "a1": dict(
        size=224,
        epochs=600,
        lr=5e-3,
        weight_decay=0.01,
        smoothing=0.1,
        threshold=None,
        drop_path=0.05,
        repeats=3,
        rand_augment="rand-m7-mstd0.5-inc1",
        mixup=0.2,
    ),
    "a2": dict(
        size=224,
        epochs=300,
        lr=5e-3,
        weight_decay=0.02,
        smoothing=0.0,
        threshold=0.2,
        drop_path=0.05,
        repeats=3,
        rand_augment="rand-m7-mstd0.5-inc1",
        mixup=0.1,
    ),
    "a3": dict(
        size=160,
        epochs=100,
        lr=8e-3,
        weight_decay=0.02,
        smoothing=0.0,
        threshold=0.2,
        drop_path=0.0,
        repeats=1,
        rand_augment="rand-m6-mstd0.5-inc1",
        mixup=0.1,
    ),
}
RSB_FILES = [path for path in FILES if re.fullmatch(r"[a-z0-9-]+_rsb-a[123]_imagenet1k", path.stem)]
# timm's results on ImageNet val at 224 px for A1, A2, A3.
TIMM_OTHERS = {
    "resnext50-32x4d": (80.53, 80.44, 79.26),
    "resnet50d": (80.73, 80.27, 78.74),
    "seresnet50": (80.01, 80.10, 77.04),
    "ecaresnet50t": (81.28, 80.88, 79.55),
}
TIMM = {
    18: (71.50, 70.63, 68.25),
    34: (76.42, 75.52, 73.00),
    50: (80.38, 79.83, 78.05),
    101: (81.49, 81.34, 79.84),
    152: (82.00, 81.76, 80.55),
}


def said(path):
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


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
    from frozen_det.models.backbone_sources.build import build_network

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
    assert {path.stem for path in RSB_FILES} >= {
        f"resnet{size}_rsb-a{recipe}_imagenet1k" for size in TIMM for recipe in (1, 2, 3)
    }


@pytest.mark.parametrize("path", RSB_FILES, ids=stems(RSB_FILES))
def test_rsb_has_the_values_of_its_table(path):
    cfg, want = load_config(path), RSB[re.search(r"rsb-(a\d)", path.stem).group(1)]
    transform = TRANSFORMS.build(cfg.train_dataloader.dataset.transform)
    assert transform.size == want["size"]
    assert transform.settings == dict(
        interpolation="bicubic",
        rand_augment=want["rand_augment"],
        trivial_augment=False,
        color_jitter=0.0,
        lighting=0.0,
        erase_prob=0.0,
        erase_mode="mean",
    )
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


def rates_of(cfg, lr):
    """The rate of every epoch by the config's schedulers."""
    from mmengine.registry import PARAM_SCHEDULERS

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(one), default_args=dict(optimizer=optimizer)) for one in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


@pytest.mark.parametrize("lr", [5e-3, 2.5e-3])
@pytest.mark.parametrize("recipe", ["a1", "a2", "a3"])
def test_the_rates_of_rsb_are_those_of_timms_scheduler(recipe, lr):
    from timm.scheduler import CosineLRScheduler

    cfg, epochs = load_config(CONFIGS / "upstream" / f"resnet50_rsb-{recipe}_imagenet1k.py"), RSB[recipe]["epochs"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    theirs = CosineLRScheduler(optimizer, t_initial=epochs, lr_min=1e-6, warmup_t=5, warmup_lr_init=1e-4)
    wanted = [theirs._get_lr(epoch)[0] for epoch in range(epochs)]
    rates = rates_of(cfg, lr)
    assert rates == pytest.approx(wanted, rel=1e-9)
    assert rates[0] == pytest.approx(1e-4) and rates[1] == pytest.approx(1e-4 + (lr - 1e-4) / 5)


def test_torchvisions_rates_are_those_of_its_two_schedulers():
    cfg = load_config(CONFIGS / "upstream" / "resnet50_torchvision-v2_imagenet1k.py")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=5),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 595),
        ],
        [5],
    )
    wanted = []
    for _ in range(600):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates_of(cfg, 0.5) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("path", RSB_FILES, ids=stems(RSB_FILES))
def test_an_update_of_rsb_is_of_2048_images(path):
    cfg = load_config(path)
    assert cfg.accumulate * cfg.train_dataloader.batch_size == 2048
    assert cfg.optim_wrapper.accumulative_counts == 8
    # What mmengine divides by, after the accumulation was taken out: the rate is not scaled.
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    assert cfg.auto_scale_lr.scaling == "sqrt"
    if cfg.train_dataloader.sampler.type == "frozen_det.RepeatAugSampler":  # no batch shows an image twice
        assert (cfg.train_dataloader.sampler.batch_size, cfg.train_dataloader.sampler.batches_of_update) == (256, 8)


@pytest.mark.parametrize("name", TIMM_OTHERS)
def test_other_architectures_under_rsb_expect_what_timm_measured(name):
    for place, value in enumerate(TIMM_OTHERS[name]):
        assert f"expected: {value:.2f} top-1" in said(CONFIGS / "upstream" / f"{name}_rsb-a{place + 1}_imagenet1k.py")


@pytest.mark.parametrize("size", TIMM)
@pytest.mark.parametrize("place", range(3))
def test_a_recipe_of_rsb_expects_what_timm_measured(size, place):
    text = said(CONFIGS / "upstream" / f"resnet{size}_rsb-a{place + 1}_imagenet1k.py")
    assert f"expected: {TIMM[size][place]:.2f} top-1" in text


def test_stochastic_depth_grows_linearly_to_its_value_at_the_last_of_sixteen_blocks():
    from frozen_det.models.backbone_sources.build import build_network

    cfg = load_config(CONFIGS / "upstream" / "resnet50_rsb-a2_imagenet1k.py")
    with torch.device("meta"):
        network = build_network(cfg.model.backbone, 1000).module
    rates = [
        getattr(block.drop_path, "drop_prob", 0.0)
        for stage in range(1, 5)
        for block in getattr(network, f"layer{stage}")
    ]
    assert rates == pytest.approx([0.05 * place / 15 for place in range(16)])


def test_ablations_of_the_loss_differ_from_a2_in_the_loss_alone():
    a2 = load_config(CONFIGS / "upstream" / "resnet50_rsb-a2_imagenet1k.py").to_dict()
    losses = {
        "ce": dict(type="frozen_det.SoftTargetCrossEntropy"),
        "sumtoone": dict(type="frozen_det.BinaryCrossEntropy", target_threshold=None, sum_to_one=True),
    }
    for name, loss in losses.items():
        other = load_config(CONFIGS / "upstream" / f"resnet50_rsb-a2-{name}_imagenet1k.py").to_dict()
        assert other["model"].pop("loss") == loss
        assert other == {**a2, "model": {key: value for key, value in a2["model"].items() if key != "loss"}}


def test_the_variants_of_cutmix_differ_in_model_alone_and_have_its_settings():
    def config(name):
        return load_config(CONFIGS / "upstream" / f"{name}.py").to_dict()

    mixings = ("cutout", "mixup", "cutmix", "feature-cutmix", "manifold-mixup")
    for arch, data, arms in (
        ("resnet50", "imagenet1k", (*mixings, "stochastic-depth", "dropblock")),
        ("resnet20", "cifar10", mixings),
    ):
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


# arXiv 1905.04899, top-1 error: Tables 5, 6 and 8 on CIFAR-100, Table 4 on ImageNet.
CUTMIX_ERRORS = {
    "pyramidnet200_plain": 16.45,
    "pyramidnet200_stochastic-depth": 15.86,
    "pyramidnet200_smoothing": 16.73,
    "pyramidnet200_cutout": 16.53,
    "pyramidnet200_cutout-smoothing": 15.61,
    "pyramidnet200_dropblock": 15.73,
    "pyramidnet200_dropblock-smoothing": 15.16,
    "pyramidnet200_mixup-a05": 15.78,
    "pyramidnet200_mixup": 15.63,
    "pyramidnet200_manifold-mixup": 16.14,
    "pyramidnet200_cutout-mixup": 15.46,
    "pyramidnet200_cutout-manifold-mixup": 15.09,
    "pyramidnet200_shakedrop": 15.08,
    "pyramidnet200_cutmix": 14.47,
    "pyramidnet200_cutmix-shakedrop": 13.81,
    "pyramidnet200_cutmix-gaussian": 15.95,
    "pyramidnet200_cutmix-fixed": 14.97,
    "pyramidnet200_cutmix-onehot": 15.89,
    "pyramidnet200_cutmix-scheduled": 14.72,
    "pyramidnet200_cutmix-complete": 15.17,
    "pyramidnet110_plain": 19.85,
    "pyramidnet110_cutmix": 17.97,
    "resnet110_plain": 23.14,
    "resnet110_cutmix": 20.11,
}
TABLE_4 = {
    "resnet101_plain": 21.87,
    "resnet101_cutout": 20.72,
    "resnet101_mixup": 20.52,
    "resnet101_cutmix": 20.17,
    "resnext101-32x4d_plain": 21.18,
    "resnext101-32x4d_cutmix": 19.47,
}


def test_every_row_of_cutmixs_tables_has_its_config_and_its_number():
    for names, data in ((CUTMIX_ERRORS, "cifar100"), (TABLE_4, "imagenet1k")):
        for name, error in names.items():
            assert f"({error:.2f} error)" in said(CONFIGS / "upstream" / f"{name}_{data}.py")
    listed = {path.stem.removesuffix("_cifar100") for path in FILES if path.stem.endswith("_cifar100")}
    assert listed - {"resnet50_transfer"} == set(CUTMIX_ERRORS)


def test_the_rows_of_cutmixs_table_5_differ_from_its_baseline_in_their_row_alone():
    plain = load_config(CONFIGS / "upstream" / "pyramidnet200_plain_cifar100.py").to_dict()
    for name in CUTMIX_ERRORS:
        if not name.startswith("pyramidnet200"):
            continue
        other = load_config(CONFIGS / "upstream" / f"{name}_cifar100.py").to_dict()
        model = other.pop("model")
        assert other == {key: value for key, value in plain.items() if key != "model"}
        recipe = name.partition("_")[2]
        assert model["loss"].get("label_smoothing", 0.0) == (0.1 if "smoothing" in recipe else 0.0)
        assert model["backbone"].get("shake_drop", 0.0) == (0.5 if "shakedrop" in recipe else 0.0)
        mixing = model.get("mixing") or {}
        assert mixing.get("cutout_size", 0) == (16 if "cutout" in recipe else 0)
        assert mixing.get("mixup_alpha", 0.0) == (0.5 if "a05" in recipe else 1.0 if "mixup" in recipe else 0.0)
        noise = dict(model.get("noise") or {})
        noise.pop("branches", None)
        assert noise == {"stochastic-depth": dict(stochastic_depth=0.25)}.get(
            recipe, dict(drop_block=0.1, block_size=4) if "dropblock" in recipe else {}
        )


def test_localisation_trains_by_the_papers_appendix():
    for data, epochs, batch, lr, step in (("cub200", 600, 32, 0.001, 150), ("imagenet1k", 20, 256, 0.01, 6)):
        for arch, scale in (("resnet50-s1", 1.0), ("vgg-gap", 0.1 if data == "cub200" else 1.0)):
            for arm in ("cam", "mixup", "cutout", "cutmix"):
                cfg = load_config(CONFIGS / "upstream" / f"{arch}_wsol-{arm}_{data}.py")
                assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (epochs, batch)
                assert cfg.optim_wrapper.optimizer.lr == pytest.approx(lr * scale)
                assert cfg.optim_wrapper.paramwise_cfg.custom_keys["network.fc"].lr_mult == 10
                assert cfg.param_scheduler[0].step_size == step and cfg.model.weights.head == "new"
                assert cfg.model.last_stride == (1 if arch == "resnet50-s1" else None)
                assert cfg.model.num_classes == (200 if data == "cub200" else 1000)


def test_fixres_bases_are_its_authors_120_epochs_of_two_passes():
    for size in (128, 160, 224, 384):
        cfg = load_config(CONFIGS / "upstream" / f"resnet50_fixres-base-{size}px_imagenet1k.py")
        assert cfg.train_dataloader.dataset.transform.size == cfg.val_dataloader.dataset.transform.size == size
        assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].step_size) == (2 * 120, 2 * 30)
        assert cfg.optim_wrapper.optimizer.to_dict() == dict(type="SGD", lr=0.16, momentum=0.9, weight_decay=1e-4)
        assert cfg.accumulate * cfg.train_dataloader.batch_size == 512 and cfg.train_dataloader.sampler.num_repeats == 3


@pytest.mark.parametrize(
    "name, epochs, batch, lr, milestones",
    [
        ("resnet50_cutmix_imagenet1k", 300, 256, 0.1, [75, 150, 225]),
        ("pyramidnet200_cutmix_cifar100", 300, 64, 0.25, [150, 225]),
        ("pyramidnet200_cutmix_cifar10", 300, 64, 0.25, [150, 225]),
    ],
)
def test_cutmix_trains_as_its_authors_did(name, epochs, batch, lr, milestones):
    cfg = load_config(CONFIGS / "upstream" / f"{name}.py")
    assert cfg.optim_wrapper.optimizer.to_dict() == dict(
        type="SGD", lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
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
