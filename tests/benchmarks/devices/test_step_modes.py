"""Modes of a training step: each says how a training has it, what cannot run says why, and the time is kept."""

import json

import pytest

from frozen_det.benchmarks.devices import step_modes
from frozen_det.benchmarks.devices.step_modes import MODES, measure_modes, modes_table, names_of
from frozen_det.benchmarks.devices.train_step import FROZEN, Setting, arm_model
from frozen_det.cli import main
from frozen_det.errors import InputError


@pytest.fixture(scope="module")
def small():
    """A detector that draws nothing, so that modes can be compared by their losses."""
    from frozen_det.models import fill_blanks

    anchors = dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0])
    return fill_blanks(
        dict(
            type="RetinaNet",
            backbone=dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name="resnet10t"), weights="random"),
            neck=dict(type="FPN", out_channels=8, num_outs=4),
            bbox_head=dict(type="RetinaHead", stacked_convs=1, feat_channels=8, anchor_generator=anchors),
            train_cfg=dict(
                assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
        ),
        num_classes=80,
    )


def test_modes_run_on_a_cpu_beside_float32(small):
    """Those that need neither CUDA nor a compiler; the step and its loss are the mode's own."""
    wanted = ["fp32", "bf16", "channels-last", "fused optimiser", "batch from the host", "fp16", "step in a CUDA graph"]
    found = measure_modes(small, Setting(size=128), wanted, steps=1, until=float("inf"))
    rows = {row.mode: row for row in found}
    assert list(rows) == wanted
    assert rows["fp16"].unavailable == "needs CUDA"
    assert "reads how many proposals" in rows["step in a CUDA graph"].unavailable
    for name in wanted[:5]:
        row = rows[name]
        assert row.unavailable == "" and row.step_ms > 0 and row.x_plain > 0 and row.used and row.peak_mib is None
    plain = rows["fp32"].loss
    assert rows["channels-last"].loss == pytest.approx(plain, rel=1e-4)
    assert rows["fused optimiser"].loss == pytest.approx(plain, rel=1e-4)
    assert rows["bf16"].loss != plain and rows["bf16"].loss == pytest.approx(plain, rel=0.05)
    assert rows["batch from the host"].loss != plain  # pixels, not noise of the normal law


def test_the_command_prints_the_modes_that_are_asked_for(monkeypatch, capsys):
    from frozen_det.benchmarks.devices import train_step

    monkeypatch.setattr(train_step, "measure", lambda *args, **options: [])
    monkeypatch.setattr(train_step, "arm_model", lambda *args: {})
    asked = {}

    def measured(model_cfg, setting, names, steps, until):
        asked.update(names=names, steps=steps)
        return [step_modes.ModeRow("bf16", "by a switch", 10.0, 2.0, 0.5, None, 1.0, 3.0)]

    monkeypatch.setattr(train_step, "measure_modes", measured)
    options = ["benchmark", "train-step", "--device", "cpu", "--steps", "3"]
    assert main([*options, "--modes", "bf16", "fused optimiser", "--json"]) == 0
    assert asked == dict(names=["bf16", "fused optimiser"], steps=3)
    (row,) = json.loads(capsys.readouterr().out)["modes"]
    assert (row["mode"], row["x_plain"]) == ("bf16", 0.5)
    assert main(options) == 0 and "Modes of" not in capsys.readouterr().out


class Refused:
    """A step that cannot be taken."""

    last_loss = 1.0

    def __init__(self, cfg, setting):
        if setting.fused:
            raise RuntimeError("no fused kernel\nhere")

    def step(self):
        pass

    def drop_gradients(self):
        pass


def test_a_mode_that_fails_is_one_line_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr("frozen_det.benchmarks.measured_step.DetectorStep", Refused)
    rows = measure_modes({"backbone": {}}, Setting(), ["fused optimiser", "bf16"], 2, until=float("inf"))
    assert rows[0].unavailable == "RuntimeError: no fused kernel here" and rows[1].step_ms is not None
    lines = [line.split(maxsplit=2) for line in modes_table(rows).splitlines()]
    assert ["fused", "optimiser", "RuntimeError: no fused kernel here"] in lines
    assert ["fused", "optimiser", "optim_wrapper.optimizer.fused=True"] in lines


def test_no_mode_begins_once_the_time_is_over(monkeypatch):
    monkeypatch.setattr("frozen_det.benchmarks.measured_step.DetectorStep", Refused)
    ticks = iter([0.0, 61.0])
    rows = measure_modes({"backbone": {}}, Setting(), ["fp32", "bf16"], 1, until=60.0, clock=lambda: next(ticks))
    assert rows[0].step_ms is not None and "the time was over" in rows[1].unavailable


def test_all_modes_on_a_gpu_none_on_a_cpu_and_unknown_ones_are_refused():
    assert names_of(None, on_gpu=True) == list(MODES) and names_of(None, on_gpu=False) == []
    assert names_of(["all"], on_gpu=False) == list(MODES)
    with pytest.raises(InputError, match="'bf-16'"):
        names_of(["bf-16"], on_gpu=False)


def test_every_mode_differs_from_float32_and_says_how_a_training_has_it():
    known = set(Setting.__dataclass_fields__)
    for name, mode in MODES.items():
        assert mode.used and set(mode.setting) <= known
        assert name == step_modes.PLAIN or mode.setting or mode.backbone or mode.never


def test_the_switches_that_are_named_are_those_of_the_frozen_forward():
    from frozen_det.models.backbones.forward_options import ForwardSwitches

    assert ForwardSwitches.parse(MODES["backbone compiled"].backbone["forward"]).compile
    assert "forward" not in arm_model(FROZEN, Setting(repeats=1))["backbone"]
