"""Every shipped config is a result: it loads, builds its model and its pipelines, and says what it is to give."""

import ast
import re
from pathlib import Path

import pytest

from frozen_det.config import load_config
from frozen_det.reports.describe import build_without_weights, describe_model

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(p for p in CONFIGS.rglob("*.py") if "_base_" not in p.parts and p.parent.name in ("detection", "smoke"))
# {detector}_{state}-{backbone}_{neck}_{aug}-{epochs}e_{data}
NAME = re.compile(
    r"[a-z0-9-]+_(scratch|finetune|frozen|adapters|finetune-adapters)-[a-z0-9]+_[a-z0-9-]+_[a-z0-9-]+"
    r"-\d+e_[a-z0-9-]+(_cb-stage2)?"
)
PAPER = "2204.00484"


def names(files):
    return [f.stem for f in files]


def bases(path):
    """The files that a config names in `_base_`, read without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "_base_":
            names = ast.literal_eval(node.value)
            return [path.parent / name for name in ([names] if isinstance(names, str) else names)]
    return []


def depth(path):
    return max((1 + depth(base) for base in bases(path)), default=0)


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_a_config_says_what_it_is_by_its_name_and_its_first_lines(path):
    assert NAME.fullmatch(path.stem), "see the contract of config names"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert "expected: " in said
    assert f"frozen-det train {path.stem}" in said or "frozen-det train CONFIG" in said
    if path.stem.endswith("_coco"):
        assert PAPER in said and "Not run on COCO here" in said
    assert depth(path) <= 3


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_a_config_builds_its_model_and_its_pipelines_without_weights_and_data(path):
    from mmengine.dataset import Compose
    from mmengine.registry import DefaultScope

    cfg = load_config(path)
    model = build_without_weights(cfg.model)
    state = NAME.fullmatch(path.stem).group(1)
    # Names: a part of the backbone that stays while the rest is fine-tuned.
    part = not isinstance(cfg.model.detector.backbone.get("freeze", True), bool)
    assert model.backbone.is_frozen == (state in ("frozen", "adapters") or part)
    assert (model.backbone.adapters is not None) == ("adapters" in state)
    backbone = cfg.model.detector.backbone
    # No package carries a plain ViT: its smoke config freezes chance, and says so.
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    chance = path.parent.name == "smoke" and "random weights" in said
    assert (backbone.weights == "random") == (state == "scratch" or chance)
    with DefaultScope.overwrite_default_scope("mmdet"):
        for loader in (cfg.get(f"{split}_dataloader") for split in ("train", "val", "test")):
            if loader is None:  # a run that only shows that the loss falls
                assert path.stem.endswith("_coco128")
                continue
            for member in loader.dataset.get("datasets", [loader.dataset]):  # joined of several, or one
                assert len(Compose(member.pipeline).transforms) == len(member.pipeline)
    assert cfg.train_cfg.max_epochs == int(re.search(r"-(\d+)e_", path.stem).group(1))


def test_every_state_of_a_setup_differs_in_its_backbone_alone():
    coco = [p for p in FILES if p.stem.endswith("_coco") and "_frozen-" not in p.stem]
    assert coco
    for path in coco:
        state = NAME.fullmatch(path.stem).group(1)
        frozen = load_config(path.with_name(path.name.replace(f"_{state}-", "_frozen-"))).to_dict()
        other = load_config(path).to_dict()
        for cfg in (frozen, other):
            # From scratch there are no weights of timm's to fit: the backbone is the authors' own.
            for key in ("weights", "freeze", "adapters", *(("body",) if state == "scratch" else ())):
                cfg["model"]["detector"]["backbone"].pop(key, None)
        assert other == frozen, path.stem


def test_the_learning_rate_of_the_papers_text_is_one_option_away():
    path = CONFIGS / "detection" / "cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco.py"
    assert load_config(path).optim_wrapper.optimizer.lr == 0.16
    cfg = load_config(path, {"optim_wrapper.optimizer.lr": 0.08})
    assert cfg.optim_wrapper.optimizer.lr == 0.08
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=64)


def test_where_the_authors_backbone_trains_its_norms_and_drop_connect_are_theirs():
    def backbone(name):
        return load_config(name).model.detector.backbone

    assert backbone("cascade-rcnn_finetune-resnetrs101_nasfpn_lsj-600e_coco").norm_momentum == 0.003
    assert backbone("retinanet_finetune-resnetrs101_fpn_lsj-72e_coco").norm_momentum == 0.01
    assert backbone("cascade-rcnn_scratch-resnetrs50_nasfpn_lsj-600e_coco").body.to_dict() == dict(
        type="frozen_det.ResNetRS", depth=50
    )
    for name in (
        "cascade-mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-1280-195e_coco",
        "mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis",
    ):
        assert backbone(name).norm_momentum == 0.01 and backbone(name).body.drop_path_rate == 0.2
        assert load_config(name).model.detector.rpn_head.score_anchors_per_image == 256


def test_the_authors_systems_match_anchors_and_sample_regions_as_they_do():
    for path in FILES:
        cfg = load_config(path).model.detector
        if not path.stem.endswith(("_coco", "_lvis", "_cb-stage2")) or "vit" in path.stem or "toy" in path.stem:
            continue
        head = cfg.get("rpn_head") or cfg.get("bbox_head") or dict(type="")
        if not str(head["type"]).startswith("frozen_det."):
            continue  # mmdet's own heads
        rules = cfg.train_cfg.get("rpn", cfg.train_cfg)
        assert rules.assigner.type == "frozen_det.ForcedMatchAssigner", path.stem
        for extractor in ("bbox_roi_extractor", "mask_roi_extractor"):
            if cfg.get("roi_head", {}).get(extractor):
                assert cfg.roi_head[extractor].type == "frozen_det.RoIExtractor", path.stem


def described(name):
    return describe_model(load_config(name), (256, 256))


def test_nas_fpn_with_cascade_has_the_parameters_of_the_papers_table_3():
    d = described("cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco")
    assert d.total_params / 1e6 == pytest.approx(132.9, abs=0.15)
    assert d.trainable_params / 1e6 == pytest.approx(71.3, abs=0.1)
    assert d.trainable_share == pytest.approx(0.536, abs=0.002)


@pytest.mark.parametrize(("neck", "paper", "missing"), [("fpn", (83.5, 21.9), 0.68), ("nasfpn", (102.6, 40.9), 2.04)])
def test_without_cascade_the_published_layers_fall_short_of_the_papers_count_by_a_known_number(neck, paper, missing):
    d = described(f"faster-rcnn_frozen-resnetrs101_{neck}_lsj-600e_coco")
    print(
        f"{neck}: total {d.total_params / 1e6:.2f} M (paper {paper[0]}), trainable {d.trainable_params / 1e6:.2f} M "
        f"(paper {paper[1]})"
    )
    # 80 classes; with the authors' 90 the gap is 0.64 and 1.99, whose cause is not known.
    assert paper[1] - d.trainable_params / 1e6 == pytest.approx(missing, abs=0.02)
    # Both numbers of the paper are rounded to 0.1 M; its three rows give 61.6, 61.7 and 61.6 M for the same backbone.
    assert paper[0] - paper[1] == pytest.approx(d.frozen_params / 1e6, abs=0.15)


def test_regions_are_told_of_detectors_with_a_second_stage_alone(capsys):
    from frozen_det.cli import main

    assert main(["describe", "atss_frozen-resnet50tv_fpn_lsj-24e_coco"]) == 0
    assert "GFLOPs" in (told := capsys.readouterr().out) and "RoIs" not in told
    assert main(["describe", "cascade-rcnn_frozen-resnetrs50_nasfpn_lsj-72e_coco"]) == 0
    assert "GFLOPs (1000 RoIs)" in capsys.readouterr().out
