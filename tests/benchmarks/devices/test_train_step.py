"""The benchmark of a training step: variants that differ in what they should, counts that hold, ratios by hand."""

import argparse
import json

import pytest

from frozen_det.benchmarks.devices import train_step as bench
from frozen_det.errors import InputError
from frozen_det.host.torch_versions import TORCH


def flat(node, path=""):
    if isinstance(node, dict):
        return {k: v for key, value in node.items() for k, v in flat(value, f"{path}.{key}").items()}
    return {path: str(node)}


recomputes_on_meta = pytest.mark.skipif(TORCH < (2, 4), reason="needs torch >= 2.4: recomputation of meta tensors")


@pytest.fixture(scope="module")
def models():
    setting = bench.Setting(size=256, rois=64, repeats=2)
    return {arm: flat(bench.arm_model(arm, setting)) for arm in bench.ARMS}


def differing(models, a, b):
    return {k for k in models[a].keys() | models[b].keys() if models[a].get(k) != models[b].get(k)}


def test_variants_differ_in_backbone_and_neck_alone(models):
    assert differing(models, bench.FROZEN, bench.FINE_TUNED) == {".backbone.freeze"}
    assert differing(models, bench.FROZEN, bench.CHECKPOINTED) == {".neck.with_checkpoint"}
    assert differing(models, bench.HOST_STAGE_1, bench.HOST_FROZEN) == {".backbone.frozen_stages"}
    assert {key.split(".")[1] for key in differing(models, bench.FROZEN, bench.HOST_FROZEN)} == {"backbone", "neck"}


def test_every_variant_has_the_repeats_the_rois_and_the_box_heads_requested(models):
    for arm, model in models.items():
        assert model[".neck.stack_times" if "mmdet" in arm else ".neck.num_repeats"] == "2"
        assert model[".train_cfg.rcnn.sampler.num"] == "64"
        assert model[".roi_head.bbox_head.with_checkpoint"] == "True"


@pytest.fixture(scope="module")
def counted():
    return bench.measure(bench.Setting(size=1024), bench.ARMS, steps=0)


@pytest.mark.slow
@recomputes_on_meta
def test_at_1024_pixels_frozen_keeps_at_most_the_stated_memory(counted):
    found = bench.ratios(counted, on_gpu=False)
    assert found[bench.FROZEN]["meta_kept_of_fine_tuned"] <= 0.55
    assert found[bench.CHECKPOINTED]["meta_kept_of_fine_tuned"] <= 0.35
    assert "time_of_fine_tuned" not in found[bench.FROZEN]


@recomputes_on_meta
def test_checkpointed_cells_cost_their_forward_again_and_nothing_else(counted):
    rows = {row.arm: row for row in counted}
    again = rows[bench.CHECKPOINTED].step_flops - rows[bench.FROZEN].step_flops
    # 5 repeats of 7 convolutions 256 -> 256, 3 x 3, on maps of 64 px at level 4 (three), 3, 5, 7, 6.
    cells = 3 * 64**2 + 128**2 + 32**2 + 8**2 + 16**2
    assert again == 5 * 2 * 9 * 256 * 256 * cells
    assert rows[bench.FROZEN].total_params == rows[bench.FINE_TUNED].total_params
    assert rows[bench.FINE_TUNED].trainable_share == 1.0


def row(arm, **values):
    return bench.Row(
        arm, 10, 0.5, **{**dict(step_flops=8, meta_kept_mib=4.0, kept_mib=4.0, step_ms=1.0, cpu_ms=1.0), **values}
    )


def test_ratios_are_those_of_the_numbers_given():
    rows = [
        row(bench.FINE_TUNED, step_flops=10, meta_kept_mib=8.0, cpu_ms=2.0, step_ms=9.0),
        row(bench.FROZEN, cpu_ms=1.2),
        row(bench.HOST_FROZEN, cpu_ms=1.5),
    ]
    found = bench.ratios(rows, on_gpu=False)[bench.FROZEN]
    assert found["meta_kept_of_fine_tuned"] == 0.5 and found["flops_of_fine_tuned"] == 0.8
    assert found["time_of_fine_tuned"] == pytest.approx(0.6) and found["time_over_flops"] == pytest.approx(0.75)
    assert found["time_of_mmdet_frozen"] == pytest.approx(0.8)
    assert bench.ratios(rows, on_gpu=True)[bench.FROZEN]["time_of_fine_tuned"] == pytest.approx(1 / 9)
    assert "time over flops 0.750   (to reach at 512 px" in bench.table(rows, on_gpu=False)


def run(*options):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(list(options)))


@pytest.mark.slow
@recomputes_on_meta
def test_real_steps_fill_the_remaining_columns(capsys):
    run(
        "--size",
        "256",
        "--rois",
        "16",
        "--repeats",
        "1",
        "--steps",
        "2",
        "--no-peak",
        "--batch",
        "2",
        "--device",
        "cpu",
        "--json",
        "--arms",
        bench.FROZEN,
        bench.HOST_FROZEN,
    )
    found = json.loads(capsys.readouterr().out)
    assert [r["arm"] for r in found["rows"]] == [bench.FROZEN, bench.HOST_FROZEN]
    for r in found["rows"]:
        assert r["step_ms"] > 0 and r["cpu_ms"] > 0 and r["peak_mib"] is None and r["loss"] > 0
        # Two images keep at least twice what one keeps on meta tensors, less what heads share.
        assert r["kept_mib"] > r["meta_kept_mib"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "500"), "multiple of 128"),
        (("--size", "128"), "from 256 on"),
        (("--batch", "0"), "from 1 on"),
        (("--arms", "ours"), "'ours'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        run(*options)
