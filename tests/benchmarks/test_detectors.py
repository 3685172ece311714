"""The sweep over mmdet's detectors: what a row states is checked by running, rows are kept, the page counts them."""

import json

import pytest
import torch

from frozen_det.benchmarks import detector_check
from frozen_det.benchmarks import detectors as benchmark_detectors
from frozen_det.benchmarks.detectors_page import page
from frozen_det.benchmarks.stock_detectors import StockDetector, families, stock_detectors
from frozen_det.cli import main

TINY = dict(
    type="FCOS",
    backbone=dict(
        type="ResNet",
        depth=18,
        base_channels=8,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18"),
    ),
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[103.53, 116.28, 123.675], std=[1.0] * 3, bgr_to_rgb=False, pad_size_divisor=32
    ),
    neck=dict(type="FPN", in_channels=[8, 16, 32, 64], start_level=1, out_channels=8, num_outs=5),
    bbox_head=dict(
        type="FCOSHead",
        num_classes=80,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        strides=[8, 16, 32, 64, 128],
        norm_cfg=None,
    ),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100
    ),
)
FREE = dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name="resnet10t"), weights="random", freeze=False)


@pytest.fixture(scope="module")
def plain():
    return detector_check.PlainDetector(TINY, 1.0, seed=0)


def test_a_wrapped_detector_has_the_plain_ones_losses_bit_by_bit(plain):
    row = detector_check.check_detector(plain.cfg, plain.batch(), plain.state, plain.losses)
    assert row == dict(status="passed", reason="", parity=True, strides=(4, 8, 16, 32))


def test_matrices_that_a_wrapped_backbone_multiplies_without_gradients_are_multiplied_so_by_the_plain_one():
    # torch folds the batch of a product with a weight that trains, and not of one that does not: other last bits.
    pvt = dict(type="PyramidVisionTransformer", num_layers=[1, 1, 1, 1])
    neck = dict(TINY["neck"], in_channels=[64, 128, 320, 512])
    plain = detector_check.PlainDetector(dict(TINY, backbone=pvt, neck=neck), 1.0, seed=0)
    assert detector_check.check_detector(plain.cfg, plain.batch(), plain.state, plain.losses)["parity"] is True


def test_a_loss_that_differs_in_its_last_bit_is_no_parity(plain):
    other = dict(plain.losses, loss_bbox=torch.nextafter(plain.losses["loss_bbox"], torch.tensor(9.0)))
    row = detector_check.check_detector(plain.cfg, plain.batch(), plain.state, other)
    assert row["parity"] is False and row["reason"].startswith("its losses are not those of the plain detector")


def test_a_backbone_that_learns_is_reported(plain):
    row = detector_check.check_detector(plain.cfg, plain.batch(), backbone=FREE)
    assert row["status"] == "failed" and "parameters of the backbone got a gradient" in row["reason"]


def test_a_detector_of_the_host_that_does_not_predict_is_not_a_reference(monkeypatch):
    def broken(*_):
        raise AttributeError("no loss_cls")

    monkeypatch.setattr(detector_check, "predict", broken)
    monkeypatch.setattr(
        "frozen_det.benchmarks.stock_detectors.stock_detectors",
        lambda _: [StockDetector("tiny", "first", TINY), StockDetector("tiny", "second", dict(TINY, type="FOVEA"))],
    )
    row = benchmark_detectors.sweep_family("tiny", ["wrapped"])
    assert row["wrapped"] == dict(
        status="does not", reason="mmdet's own detector does not run: AttributeError: no loss_cls"
    )


def test_samplers_and_proposals_are_capped_batches_stay_norms_are_of_one_process_and_nothing_else_changes():
    model = dict(
        data_preprocessor=dict(batch_augments=[dict(type="BatchFixedSizePad")]),
        num_queries=900,
        neck=dict(norm_cfg=dict(type="MMSyncBN", eps=1e-3)),
        rcnn=[dict(sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25))],
        test_cfg=dict(rpn=dict(max_per_img=1000), rcnn=dict(max_per_img=100, nms_pre=1000)),
    )
    assert detector_check.made_light(model) == dict(
        data_preprocessor={},
        num_queries=900,
        neck=dict(norm_cfg=dict(type="BN", eps=1e-3)),
        rcnn=[dict(sampler=dict(type="RandomSampler", num=64, pos_fraction=0.25))],
        test_cfg=dict(rpn=dict(max_per_img=64), rcnn=dict(max_per_img=100, nms_pre=1000)),
    )


def test_the_plainest_config_represents_a_family_and_other_kinds_are_left_out():
    assert stock_detectors("atss")[0].config == "atss_r50_fpn_1x_coco" and not stock_detectors("atss")[0].with_masks
    assert stock_detectors("ms_rcnn")[0].with_masks
    assert stock_detectors("bytetrack")[0].left_out == "tracks through videos"
    assert {"dino", "yolox", "mask2former"} < set(families())


def _row(family, wrapped="runs", reason="", parity=True):
    return dict(
        family=family,
        config=f"{family}_config",
        size=128,
        parity=parity,
        seed=0,
        seconds=2.0,
        cpu_seconds=1.0,
        peak_gib=1.5,
        wrapped=dict(status=wrapped, reason=reason),
        resnet18=dict(status="runs", reason=""),
        vit=dict(status="runs", reason=""),
    )


def test_families_whose_rows_are_kept_are_not_run_again(tmp_path, monkeypatch, capsys):
    rows, seen = tmp_path / "rows.jsonl", []
    rows.write_text(json.dumps(_row("atss")) + "\n" + json.dumps(_row("dino"))[:40])
    monkeypatch.setattr(benchmark_detectors, "sweep_family", lambda family, *_: seen.append(family) or _row(family))
    command = ["benchmark", "detectors", "--only", "atss", "dino", "--rows", str(rows)]
    assert main([*command, "--output", str(tmp_path / "page.md")]) == 0
    assert seen == ["dino"] and [json.loads(line) for line in rows.read_text().splitlines()[::2]] == [
        _row("atss"),
        _row("dino"),
    ]
    assert main([*command, "--seed", "1"]) == 0 and seen == ["dino", "atss", "dino"]
    assert capsys.readouterr().out.startswith((tmp_path / "page.md").read_text())


def test_the_page_counts_what_runs_and_states_why_the_rest_does_not():
    films = dict(status="not counted", reason="films")
    rows = [
        _row("atss"),
        _row("ssd", "does not", "no such level", parity=None),
        _row("track", parity=None) | dict(wrapped=films, resnet18=films, vit=films),
    ]
    text = page(rows, benchmark_detectors.BODIES)
    assert "own backbone, wrapped: **1 of 2** run" in text and "timm resnet18: **2 of 2** run" in text
    assert "bit by bit: **1 of 1**" in text and "6 s, 3 s of processor time, at most 1.5 GiB" in text
    assert "| ssd | ssd_config | 128 | no | yes | yes |  |" in text
    assert "- ssd (own backbone, wrapped): no such level. The host's head" in text and "- track: films" in text


def test_an_unknown_family_is_named_with_the_nearest(capsys):
    assert main(["benchmark", "detectors", "--only", "dinoo"]) == 2
    assert "'dinoo'; did you mean 'dino'" in capsys.readouterr().err
