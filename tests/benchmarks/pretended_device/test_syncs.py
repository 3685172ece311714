"""`frozen-det benchmark syncs`: mmdet's counterpart of a config, the table by line, CSV."""

import csv
import json

import pytest

from frozen_det.benchmarks.pretended_device import syncs
from frozen_det.benchmarks.pretended_device.host_model import host_model
from frozen_det.benchmarks.pretended_device.waits import COPY, READ_BACK, Wait
from frozen_det.cli import main
from frozen_det.models.detectors.detector import fill_blanks

ITEM, NONZERO = Wait(READ_BACK, "item", "mmdet/a.py", 3), Wait(READ_BACK, "nonzero", "mmdet/a.py", 2)
SENT, OWN = Wait(COPY, "to", "mmengine/b.py", 1), Wait(READ_BACK, "event", "frozen_det/c.py", 9)
FOUND = {
    "ours": dict(training=[ITEM, OWN, SENT], prediction=[]),
    "mmdet": dict(training=[ITEM, ITEM, SENT, NONZERO], prediction=[SENT]),
}


def test_each_line_of_a_program_is_one_row_with_both_counts():
    assert [tuple(row.values()) for row in syncs.table(FOUND)] == [
        ("training", READ_BACK, "frozen_det/c.py", 9, "event", 1, 0),
        ("training", READ_BACK, "mmdet/a.py", 2, "nonzero", 0, 1),
        ("training", READ_BACK, "mmdet/a.py", 3, "item", 1, 2),
        ("training", COPY, "mmengine/b.py", 1, "to", 1, 1),
        ("prediction", COPY, "mmengine/b.py", 1, "to", 0, 1),
    ]
    assert syncs.as_csv(syncs.table(FOUND)).splitlines()[:2] == [
        "phase,kind,file,line,call,ours,mmdet",
        "training,read-back,frozen_det/c.py,9,event,1,0",
    ]


def test_sums_are_by_package_and_of_all():
    sums = {(row["phase"], row["kind"], row["package"]): (row["ours"], row["mmdet"]) for row in syncs.totals(FOUND)}
    assert sums == {
        ("training", READ_BACK, "frozen_det"): (1, 0),
        ("training", READ_BACK, "mmdet"): (1, 3),
        ("training", READ_BACK, "all"): (2, 3),
        ("training", COPY, "mmengine"): (1, 1),
        ("training", COPY, "all"): (1, 1),
        ("prediction", READ_BACK, "all"): (0, 0),
        ("prediction", COPY, "mmengine"): (0, 1),
        ("prediction", COPY, "all"): (0, 1),
    }


def _cascade() -> dict:
    from frozen_det.config import load_config

    cfg = load_config("smoke/cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy")
    backbone = {**cfg.model.detector.backbone.to_dict(), "weights": "random"}
    return fill_blanks({**cfg.model.detector.to_dict(), "backbone": backbone}, num_classes=3)


def _types(node):
    if isinstance(node, dict):
        yield from [str(node["type"])] if "type" in node else []
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _types(item)


def test_mmdets_counterpart_has_mmdets_parts_and_stages():
    ours = _cascade()
    host = host_model(ours)
    kept = ("backbone", "neck", "data_preprocessor")
    assert any(name.startswith("frozen_det.") for name in _types({k: v for k, v in ours.items() if k not in kept}))
    rest = {key: value for key, value in host.items() if key not in kept}
    assert not [name for name in _types(rest) if name.startswith("frozen_det.")]
    assert host["backbone"]["freeze"] is False and host["neck"] == ours["neck"]
    assert host["rpn_head"]["type"] == "mmdet.RPNHead" and host["roi_head"]["type"] == "mmdet.CascadeRoIHead"
    assert len(host["roi_head"]["bbox_head"]) == len(host["train_cfg"]["rcnn"]) == 3
    assert [one["assigner"]["pos_iou_thr"] for one in host["train_cfg"]["rcnn"]] == [0.5, 0.6, 0.7]
    assert host["train_cfg"]["rcnn"][2]["sampler"]["add_gt_as_proposals"] is True
    assert host["roi_head"]["stage_loss_weights"] == [1.0, 0.5, 0.25]
    assert ours["backbone"]["freeze"] is not False  # the argument is as it was


def test_defaults_that_differ_from_mmdets_are_written_out():
    head = dict(type="StandardRoIHead", bbox_head=dict(type="frozen_det.ConvFCBBoxHead", fc_out_channels=8))
    ours = dict(type="FasterRCNN", backbone=dict(type="ResNet"), roi_head=head)
    found = host_model(ours)["roi_head"]["bbox_head"]
    assert found["type"] == "mmdet.ConvFCBBoxHead" and found["fc_out_channels"] == 8
    assert found["num_shared_convs"] == 4 and found["num_shared_fcs"] == 2 and "box_loss_divisor" not in found


SMALL = [
    "benchmark",
    "syncs",
    "smoke/fcos_frozen-efficientnetlite0_fpn_plain-8e_toy128",
    "--size",
    "64",
    "--images",
    "1",
    "--cfg-options",
    "model.detector.backbone.body.name=resnet10t",
    "model.detector.bbox_head.feat_channels=32",
]


def test_the_command_prints_lines_and_sums_and_writes_csv(tmp_path, capsys):
    assert main([*SMALL, "--output", str(tmp_path / "waits.csv"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    written = list(csv.DictReader((tmp_path / "waits.csv").open()))
    assert [[str(value) for value in row.values()] for row in rows] == [list(row.values()) for row in written]
    guard = [row for row in rows if row["file"].endswith("nan_guard.py")]
    assert [(row["call"], row["ours"], row["mmdet"]) for row in guard] == [("event", 1, 0), ("tolist", 1, 0)]
    logged = next(row for row in rows if row["file"].endswith("message_hub.py"))
    assert logged["ours"] == 0 and logged["mmdet"] == 4  # three losses and their sum


def test_sums_alone_and_one_side_alone(capsys):
    assert main([*SMALL, "--totals", "--only", "ours"]) == 0
    header, *lines = capsys.readouterr().out.strip().splitlines()
    assert header.split() == ["phase", "kind", "package", "ours"]
    assert all(line.split()[0] in ("training", "prediction") for line in lines)


def test_no_images_are_refused_in_one_line(capsys):
    assert main([*SMALL[:3], "--images", "0"]) == 2
    assert "expected --size and --images from 1 on, got 256 and 0" in capsys.readouterr().err


@pytest.mark.parametrize("mixing", [True, False])
def test_a_classifier_has_no_counterpart(mixing):
    from frozen_det.benchmarks.pretended_device.measured import OURS, is_detector, measured
    from frozen_det.config import load_config

    cfg = load_config("upstream/resnet20_plain_cifar10", {"model.num_classes": 3})
    if mixing:
        cfg.model.mixing = dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0)
    assert not is_detector(cfg)
    found = measured(cfg, OURS, size=16, images=4)
    assert [wait.what for wait in found["training"] if wait.kind == READ_BACK] == ["event", "tolist"]
