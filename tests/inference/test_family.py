"""Detectors on one frozen backbone, used as one: one pass, and what each finds alone."""

import json

import numpy as np
import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.inference.detector import load_detector, new_detector
from frozen_det.inference.family import DetectorFamily, load_family, member_names
from frozen_det.weights.kept_checkpoints import latest_checkpoint
from tests.training_runs import tiny_config, tiny_scenes, train


def _with_other_ids(scenes):
    """The scenes with category ids from 41 on."""
    for path in (scenes / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        for group, key in (("categories", "id"), ("annotations", "category_id")):
            for one in content[group]:
                one[key] += 40
        path.write_text(json.dumps(content))
    return scenes


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three detectors: two on one base, one of them with adapters, and one on a base of its own."""
    root = tmp_path_factory.mktemp("family")
    scenes = _with_other_ids(tiny_scenes(root / "scenes"))
    arms = {
        "first": {},
        "adapters": {"model__detector__backbone__adapters": dict(type="parallel", start_stage=2)},
        "other-base": {"model__detector__backbone__weights": "random"},
    }
    found = {}
    for name, options in arms.items():
        cfg = tiny_config(scenes, root / name, train_cfg__max_epochs=1, **options)
        train(cfg)
        found[name] = latest_checkpoint(root / name)
    return found


@pytest.fixture
def images():
    return list(np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3), dtype=np.uint8))


def _equal(one, other) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("boxes_xyxy", "scores", "labels"))


def test_a_family_finds_what_its_members_find_alone(trained, images):
    family = load_family({name: trained[name] for name in ("first", "adapters")})
    found = family(images)
    for name in family:
        alone = load_detector(None, trained[name])(images)
        assert all(len(one.scores) and _equal(one, both[name]) for one, both in zip(alone, found, strict=True))
    pointers = [
        next(p for n, p in one.model.named_parameters() if n.endswith("conv_stem.weight")).data_ptr()
        for one in family.values()
    ]
    assert pointers[0] == pointers[1]


def test_a_checkpoint_alone_detects_and_batches_find_what_single_images_give(trained, monkeypatch):
    detector = load_detector(trained["first"])
    assert detector.category_ids == tuple(range(41, 51))
    rng = np.random.default_rng(1)
    given = [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((96, 96), (48, 96), (96, 90), (96, 96))]
    alone = [detector(one)[0] for one in given]
    sizes, step = [], detector.model.test_step
    monkeypatch.setattr(detector.model, "test_step", lambda data: sizes.append(len(data["inputs"])) or step(data))
    together = detector(given, batch_size=4)
    assert sizes == [3, 1]
    for one, other in zip(alone, together, strict=True):
        assert one.size_hw == other.size_hw and len(one) and np.array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    turned = detector([one[..., ::-1] for one in given[:1]], color="rgb")[0]
    assert _equal(alone[0], turned) and {one["category_id"] for one in turned.to_coco()} <= set(range(41, 51))


@pytest.mark.parametrize("arguments", [(), ("quickstart",), ("my.py",)])
def test_one_argument_that_is_no_checkpoint_is_refused(arguments):
    with pytest.raises(InputError, match="expected a checkpoint"):
        load_detector(*arguments)


def test_a_member_joins_and_goes_and_the_others_stay_as_they_are(trained, images):
    family = load_family({"first": trained["first"]})
    before = family(images)
    family.add("adapters", load_detector(None, trained["adapters"]))
    assert all(_equal(a["first"], b["first"]) for a, b in zip(before, family(images), strict=True))
    gone = family.remove("first")
    assert list(family(images)[0]) == ["adapters"]
    assert all(_equal(a["first"], b) for a, b in zip(before, gone(images), strict=True))


def test_the_base_is_hashed_once_for_each_member_and_only_those_asked_for_answer(trained, images, monkeypatch):
    from frozen_det.models.backbones.frozen_backbone import FrozenBackbone

    members = {str(number): load_detector(None, trained["first"]) for number in range(3)}
    asked, hashed = [], FrozenBackbone.frozen_fingerprint
    monkeypatch.setattr(FrozenBackbone, "frozen_fingerprint", lambda self: asked.append(self) or hashed(self))
    family = DetectorFamily(members=members)
    found = family(images)
    assert len(asked) == 3
    some = family(images, only=["2"])
    assert [list(one) for one in some] == [["2"], ["2"]]
    assert all(_equal(a["0"], b["2"]) for a, b in zip(found, some, strict=True))


_ONE_STAGE = dict(
    type="RetinaNet",
    neck=dict(type="FPN", out_channels=8, num_outs=4),
    bbox_head=dict(
        type="RetinaHead",
        stacked_convs=1,
        feat_channels=8,
        anchor_generator=dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
    ),
    test_cfg=dict(nms_pre=50, score_thr=0.0, max_per_img=5, nms=dict(type="nms", iou_threshold=0.5)),
)
_LAYER = dict(self_attn_cfg=dict(embed_dims=16, num_heads=2), ffn_cfg=dict(embed_dims=16, feedforward_channels=16))
_QUERIES = dict(
    type="DETR",
    num_queries=5,
    neck=dict(type="ChannelMapper", kernel_size=1, out_channels=16, act_cfg=None, num_outs=1),
    encoder=dict(num_layers=1, layer_cfg=_LAYER),
    decoder=dict(num_layers=1, layer_cfg=_LAYER | dict(cross_attn_cfg=dict(embed_dims=16, num_heads=2))),
    positional_encoding=dict(num_feats=8, normalize=True),
    bbox_head=dict(  # the loss is given, for mmdet's head changes its own default
        type="DETRHead", embed_dims=16, loss_cls=dict(type="CrossEntropyLoss", bg_cls_weight=0.1, class_weight=1.0)
    ),
    test_cfg=dict(max_per_img=5),
)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Configs: two stages, one stage, queries, and two stages with adapters from the third stage on."""
    root = tmp_path_factory.mktemp("kinds")
    scenes = tiny_scenes(root / "scenes")
    found = {name: tiny_config(scenes, root) for name in ("two", "one", "queries", "adapters")}
    for name, decoder in (("one", _ONE_STAGE), ("queries", _QUERIES)):
        found[name].model.detector = dict(backbone=found[name].model.detector.backbone, **decoder)
    found["queries"].model.detector.backbone.strides = (32,)
    found["adapters"].model.detector.backbone.adapters = dict(type="parallel", start_stage=2)
    for cfg in found.values():
        cfg.model.detector.data_preprocessor = dict(type="DetDataPreprocessor", pad_size_divisor=32)
    return found


def test_detectors_of_every_kind_share_one_pass_of_a_backbone(kinds, images, monkeypatch):
    """One of them has adapters; what comes before these is run once as well."""
    singles = {name: new_detector(cfg) for name, cfg in kinds.items()}
    with torch.no_grad():
        for parameter in singles["adapters"].model.backbone.adapters.parameters():
            parameter.normal_(std=0.1)
    alone = {name: one(images) for name, one in singles.items()}
    family = DetectorFamily(members=singles)
    stems = [one.model.backbone.body.conv_stem for one in family.values()]
    passes, run = [], type(stems[0]).forward
    monkeypatch.setattr(type(stems[0]), "forward", lambda self, x: passes.append(self in stems) or run(self, x))
    found = family(images)
    for name in kinds:
        assert all(len(a.scores) and _equal(a, b[name]) for a, b in zip(alone[name], found, strict=True))
    assert sum(passes) == len(images)


def test_members_are_built_from_configs_on_the_backbone_that_is_given(kinds, images):
    """Adapters and strides are the member's own."""
    backbone = dict(kinds["two"].model.detector.backbone, forward=dict(memory_format="channels_last"))
    backbone.pop("strides")
    family = DetectorFamily(backbone, {"queries": kinds["queries"], "adapters": kinds["adapters"]}, device="cpu")
    bodies = [one.model.backbone for one in family.values()]
    assert [one.switches.memory_format for one in bodies] == ["channels_last"] * 2
    assert [one.strides for one in bodies] == [(32,), (4, 8, 16, 32)]
    assert [one.adapters is not None for one in bodies] == [False, True]
    assert family["queries"].classes == family["adapters"].classes
    assert [list(one) for one in family(images)] == [["queries", "adapters"]] * 2


def test_another_base_is_refused_with_both_named(trained):
    with pytest.raises(InputError, match="expected members on one frozen base, got first on sha256 .* and other on"):
        load_family({"first": trained["first"], "other": trained["other-base"]})


def test_another_preparation_of_images_is_refused_with_both_named(trained):
    family = load_family({"first": trained["first"]})
    options = {"test_dataloader.dataset.pipeline.1.scale": (64, 64)}
    with pytest.raises(InputError, match="prepare an image in the same way, got first with .*96.* and small with .*64"):
        family.add("small", load_detector(None, trained["adapters"], options=options))


def test_names_twice_none_and_unknown_are_refused(trained, images):
    family = load_family([])
    with pytest.raises(InputError, match="expected a family with members"):
        family(images)
    family.add("a", load_detector(None, trained["first"]))
    with pytest.raises(InputError, match="'a' twice"):
        family.add("a", family["a"])
    with pytest.raises(InputError, match=r"expected names among \['a'\] to remove, got 'b'"):
        family.remove("b")
    with pytest.raises(InputError, match=r"expected names among \['a'\] in `only`, got 'b'"):
        family(images, only=["a", "b"])
    with pytest.raises(InputError, match=r"expected names among \['a'\] in `configs`, got 'b'"):
        load_family({"a": trained["first"]}, {"b": "quickstart"})
    with pytest.raises(InputError, match="got one twice"):
        member_names(["x/best.pth", "x/best.pth"])


def test_members_are_called_by_the_shortest_ends_of_their_paths():
    assert list(member_names(["x/a.pth", "x/b.pth"])) == ["a", "b"]
    assert list(member_names(["x/best.pth", "y/best.pth"])) == ["x-best", "y-best"]


def test_predict_takes_several_checkpoints_and_writes_what_each_finds(trained, images, tmp_path):
    from PIL import Image

    from frozen_det.cli import main

    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    checkpoints = [str(trained[name]) for name in ("first", "adapters")]
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "photo.png"), "--checkpoint", *checkpoints, "-o", str(out)]) == 0
    family = load_family(checkpoints)
    found = family([tmp_path / "photo.png"])[0]
    for name in ("first-epoch_1", "adapters-epoch_1"):
        written = json.loads((out / name / "predictions.json").read_text())
        assert [one["score"] for one in written["annotations"]] == pytest.approx(found[name].scores.tolist())
        assert (out / name / "photo.jpg").is_file()


def test_predict_keeps_the_classes_asked_for_and_draws_nothing_on_request(trained, images, tmp_path, capsys):
    from PIL import Image

    from frozen_det.cli import main

    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"none")
    command = ["predict", f"{tmp_path}/*.png", "--checkpoint", str(trained["first"]), "-o", str(tmp_path / "out")]
    found = load_detector(trained["first"])([tmp_path / "0.png", tmp_path / "1.png"])
    name = found[0].names[0]
    assert main([*command, "--classes", name, "--no-pictures", "--batch", "2"]) == 1  # one could not be read
    said = capsys.readouterr().out
    assert "2 images" in said and "1 could not be read" in said and "images per second" in said
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    wanted = [score for one in found for score in one.of_classes([name]).scores.tolist()]
    assert wanted and [one["score"] for one in written["annotations"]] == pytest.approx(wanted, abs=1e-5)
    (category,) = {one["category_id"] for one in written["annotations"]}
    assert {"id": category, "name": name} in written["categories"] and category > 40
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    assert main([*command, "--classes", "unicorn"]) == 2
    assert "expected class names among" in capsys.readouterr().err
