"""Numbers and texts that cannot be right are refused with their dotted key; ordinary ones pass as they are."""

import pytest

from frozen_det.errors import InputError

from .conftest import with_options

LOADER, OPTIMIZER = "train_dataloader.", "optim_wrapper.optimizer."
RCNN = "model.detector.train_cfg.rcnn."


@pytest.mark.parametrize(
    "key,values",
    [
        (f"{LOADER}batch_size", ["0", "-1", "two", "1.5", "2.0", "None", "true", "'4'"]),
        (f"{LOADER}num_workers", ["-1", "1.0", "None", "many"]),
        (f"{LOADER}timeout", ["-1", "long"]),
        (f"{LOADER}prefetch_factor", ["0", "-2", "1.5"]),
        (f"{LOADER}persistent_workers", ["1", "yes"]),
        (f"{LOADER}pin_memory", ["0", "maybe"]),
        (f"{LOADER}sampler.shuffle", ["si", "1"]),
        (f"{OPTIMIZER}lr", ["nan", "inf", "-0.1", "fast", "None", "1/1000", "true", "'0.1'"]),
        (f"{OPTIMIZER}weight_decay", ["-1", "None", "nan"]),
        (f"{OPTIMIZER}eps", ["-1", "nan"]),
        (f"{OPTIMIZER}betas", ["0.9", "(0.9,)", "(0.9,1.5)", "(-1,0.9)", "None"]),
        ("optim_wrapper.clip_grad.max_norm", ["0", "-1", "big", "None", "nan"]),
        ("train_cfg.max_epochs", ["0", "-1", "2.5", "3.0", "None", "ten"]),
        ("train_cfg.val_interval", ["0", "-1", "1.5", "None", "often"]),
        ("randomness.seed", ["-1", "1.5", "abc", "4294967296"]),
        ("randomness.deterministic", ["maybe", "1"]),
        ("model.num_classes", ["0", "-3", "2.5", "10.0", "ten"]),
        ("param_scheduler.0.start_factor", ["0", "2", "-0.1"]),
        ("param_scheduler.1.eta_min", ["-1", "nan"]),
        ("param_scheduler.1.T_max", ["-4", "0", "soon"]),
        ("auto_scale_lr.base_batch_size", ["0", "-8", "None", "x"]),
        ("auto_scale_lr.enable", ["yes", "1"]),
        ("default_hooks.logger.interval", ["0", "-5", "1.5", "None"]),
        ("default_hooks.checkpoint.max_keep_ckpts", ["0", "-3", "1.5"]),
        ("default_hooks.checkpoint.rule", ["max", "bigger"]),
        ("default_hooks.logger.priority", ["HIHG", "500", "-3", "1.5"]),
        ("log_level", ["LOUD", "10"]),
        ("launcher", ["pytorchh", "1"]),
        ("env_cfg.mp_cfg.mp_start_method", ["sporn"]),
        ("resume", ["maybe", "1"]),
        ("env_cfg.mp_cfg.opencv_num_threads", ["-1", "x"]),
        ("env_cfg.cudnn_benchmark", ["maybe"]),
        ("work_dir", ["3"]),
        ("model.detector.test_cfg.rcnn.score_thr", ["5", "-0.1"]),
        ("model.detector.test_cfg.rcnn.max_per_img", ["0"]),
        ("model.detector.test_cfg.rcnn.nms.iou_threshold", ["50"]),
        (f"{RCNN}sampler.num", ["0", "-1", "1.5"]),
        (f"{RCNN}assigner.pos_iou_thr", ["2", "-1", "half"]),
        ("model.detector.rpn_head.anchor_generator.scales", ["[0]", "[]"]),
        ("model.detector.rpn_head.anchor_generator.ratios", ["[-1]", "wide"]),
        ("accumulate", ["0", "0.5", "None", "yes"]),
        (f"{LOADER}dataset.pipeline.2.scale", ["big", "(0,224)", "(224,)", "(224,224,3)", "(100.5,100.5)", "224x224"]),
        (f"{LOADER}dataset.pipeline.3.prob", ["1.5", "-0.5", "x"]),
        ("val_evaluator.classwise", ["maybe"]),
    ],
)
def test_a_value_out_of_range_is_one_line_with_its_key(key, values):
    for value in values:
        with pytest.raises(InputError) as raised:
            with_options("quickstart", f"{key}={value}")
        assert key.rpartition(".")[2] in str(raised.value) and "\n" not in str(raised.value), value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (f"{OPTIMIZER}lr=1", 1),
        (f"{OPTIMIZER}lr=1E-3", 1e-3),
        (f"{OPTIMIZER}weight_decay=0", 0),
        (f"{OPTIMIZER}betas=0.9,0.95", [0.9, 0.95]),
        ("optim_wrapper.clip_grad=None", None),
        ("log_level=DEBUG", "DEBUG"),
        ("optim_wrapper.clip_grad.max_norm=inf", float("inf")),
        ("randomness.seed=4294967295", 2**32 - 1),
        (f"{LOADER}prefetch_factor=4", 4),
        ("default_hooks.checkpoint.max_keep_ckpts=-1", -1),
        ("default_hooks.logger.priority=10", 10),
        ("custom_hooks.0.priority=very_low", "very_low"),
        ("work_dir=a b/ü", "a b/ü"),
        ("train_cfg.val_interval=2.0", 2.0),
        (f"{LOADER}dataset.pipeline.2.scale=224,224", [224, 224]),
        ("load_from=a=b.pth", "a=b.pth"),
        ("resume=TRUE", True),
        (f"{LOADER}dataset.pipeline.2.scale=(224,-1)", (224, -1)),
        ("param_scheduler=None", None),
        ("custom_hooks=[]", []),
    ],
)
def test_an_ordinary_value_arrives(option, value):
    cfg = with_options("quickstart", option)
    for key in option.partition("=")[0].split("."):
        cfg = cfg[int(key) if key.isdigit() else key]
    assert cfg == value


@pytest.mark.parametrize("milestones", ["[]", "81", "[0,50]", "[50.5]", "[100,50]", "None"])
def test_milestones_are_whole_numbers_that_rise(milestones):
    with pytest.raises(InputError, match="milestones"):
        with_options("upstream/resnet20_plain_cifar10", f"param_scheduler.0.milestones={milestones}")


@pytest.mark.parametrize("text", ["work_dir = '{{$NO_SUCH_VARIABLE}}'", "work_dir = '{{ fileDirnam }}/w'"])
def test_a_placeholder_that_nothing_replaced_is_refused(child, text):
    with pytest.raises(InputError, match=r"work_dir holds \{\{.*\}\}, which mmengine has not replaced"):
        child("quickstart", text)


def test_an_environment_variable_arrives_or_its_default(child, monkeypatch):
    monkeypatch.setenv("A_FOLDER", "of/mine")
    assert child("custom_coco", "data_root = '{{$A_FOLDER:other}}'").model.classes_from == "of/mine"
    monkeypatch.delenv("A_FOLDER")
    assert child("custom_coco", "data_root = '{{$A_FOLDER:other}}'").model.classes_from == "other"
