"""The check of a GPU, on a CPU: float32 equals itself, half precision keeps its limits, and what differs is seen."""

import json

import pytest
import torch

from frozen_det.benchmarks.devices import gpu_check
from frozen_det.cli import main

SMALL = ["benchmark", "gpu-check", "--device", "cpu", "--body", "timm/resnet10t", "--size", "128"]


@pytest.mark.slow
def test_each_kind_on_a_cpu_equals_itself_and_keeps_the_limits_of_bfloat16(capsys):
    kinds = ["two-stage", "cascade-masks", "dense", "queries"]
    assert main([*SMALL, "--json", "--kinds", *kinds]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kept"] and found["device"] == "cpu"
    assert [(row["kind"], row["dtype"]) for row in found["rows"]] == [(k, d) for k in kinds for d in ("fp32", "bf16")]
    for row in found["rows"]:
        assert row["reference"] > 0 and row["fault"] == ""
        if row["dtype"] == "fp32":
            assert row["loss"] == row["gradient"] == 0.0
        else:  # at least half a unit of the last of its 8 bits somewhere
            assert 1e-5 < row["loss"] < 3e-2 and 1e-3 < row["gradient"] < 0.2


def test_a_weight_that_differs_is_seen_in_loss_and_gradient(monkeypatch, capsys):
    """By far more than any limit: what a wrong op on a device would be."""
    step, calls = gpu_check.step, []

    def wrong(model, batch, dtype):
        calls.append(dtype)
        if len(calls) == 2:
            with torch.no_grad():
                model.bbox_head.atss_cls.weight.add_(0.05)
        return step(model, batch, dtype)

    monkeypatch.setattr(gpu_check, "step", wrong)
    assert main([*SMALL, "--kinds", "dense", "--dtypes", "fp32"]) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("dense") and line.endswith("NOT KEPT")


def test_what_does_not_run_says_why_and_fails(monkeypatch, capsys):
    step = gpu_check.step

    def refused(model, batch, dtype):
        if dtype == torch.float16:
            raise RuntimeError("no kernel")
        return step(model, batch, dtype)

    monkeypatch.setattr(gpu_check, "step", refused)
    assert main([*SMALL, "--kinds", "dense", "--dtypes", "fp16"]) == 1
    assert "does not run: RuntimeError: no kernel" in capsys.readouterr().out


def test_proposals_of_the_reference_are_given_to_later_steps():
    class Rpn:
        def loss_and_predict(self, value):
            from mmengine.structures import InstanceData

            return {}, [InstanceData(bboxes=torch.full((1, 4), float(value)))]

    class Model:
        with_rpn, rpn_head = True, Rpn()

    model = Model()
    replay = gpu_check._Proposals(model)
    assert model.rpn_head.loss_and_predict(3)[1][0].bboxes[0, 0] == 3
    with replay:
        assert model.rpn_head.loss_and_predict(5)[1][0].bboxes[0, 0] == 3
    assert model.rpn_head.loss_and_predict(7)[1][0].bboxes[0, 0] == 7


@pytest.mark.parametrize(
    ("found", "distance"),
    [
        ({"a": [3.0, 4.0]}, 0.0),
        ({"a": [3.0, 9.0]}, 1.0),
        ({"a": [3.0, float("nan")]}, float("inf")),
        ({"a": [3.0, 4.0], "b": [0.0]}, float("inf")),
    ],
)
def test_distance_of_gradients(found, distance):
    as_tensors = {name: torch.tensor(value) for name, value in found.items()}
    assert gpu_check._distance(as_tensors, {"a": torch.tensor([3.0, 4.0])}) == distance


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("what", ["gpu-check", "train-step"])
def test_without_a_gpu_cuda_is_refused_in_one_line(what, capsys):
    assert main(["benchmark", what, "--device", "cuda"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and "expected a device of this machine (cpu), got 'cuda'" in said[0]


def test_a_size_that_is_no_multiple_is_refused(capsys):
    assert main(["benchmark", "gpu-check", "--size", "100", "--device", "cpu"]) == 2
    assert "multiple of 32 px" in capsys.readouterr().err
