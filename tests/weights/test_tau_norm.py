"""Tau-normalisation: class norms brought together, background and biases as they are."""

import pytest
import torch

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.weights.tau_norm import tau_normalise

LAYER = "roi_head.bbox_head.fc_cls"


def layer(rows=4):
    weight = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, rows + 1)[:, None]
    return {f"{LAYER}.weight": weight, f"{LAYER}.bias": torch.ones(rows), "neck.weight": torch.ones(2)}


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_norms_go_to_the_power_of_one_minus_tau_and_keep_their_directions(tau):
    before, state = layer(), layer()
    assert tau_normalise(state, tau, "f.pth") == 1
    old, new = before[f"{LAYER}.weight"], state[f"{LAYER}.weight"]
    norms = old[:3].norm(dim=1)
    assert torch.allclose(new[:3].norm(dim=1), norms.mean() ** tau * norms ** (1 - tau))
    assert torch.allclose(torch.cosine_similarity(old, new), torch.ones(4))
    assert torch.equal(new[3], old[3])
    assert all(torch.equal(state[name], before[name]) for name in state if name != f"{LAYER}.weight")


def test_seesaws_two_outputs_for_objects_and_background_are_no_classes():
    state = layer(5) | {"roi_head.bbox_head.loss_cls.cum_samples": torch.zeros(4)}
    tau_normalise(state, 1.0, "f.pth")
    assert torch.equal(state[f"{LAYER}.weight"][3:], layer(5)[f"{LAYER}.weight"][3:])


@pytest.mark.parametrize(
    ("state", "tau", "said"),
    [
        (layer(), 1.5, "tau from 0 to 1"),
        (layer(), float("nan"), "tau from 0 to 1"),
        ({"neck.weight": torch.ones(1)}, 0.5, r"\(roi_head.bbox_head.fc_cls\) in f.pth, got none"),
        ({f"{LAYER}.weight": torch.zeros(3, 2)}, 0.5, "other than zero for every class"),
    ],
)
def test_what_cannot_be_rescaled_is_refused(state, tau, said):
    with pytest.raises(InputError, match=said):
        tau_normalise(state, tau, "f.pth")


def test_the_command_writes_the_rescaled_checkpoint(tmp_path, capsys):
    torch.save(dict(state_dict=layer(), meta={"epoch": 3, "thresholds": {"overall": 0.4}}), tmp_path / "a.pth")
    assert main(["convert", str(tmp_path / "a.pth"), "-o", str(tmp_path / "b.pth"), "--tau-norm", "1"]) == 0
    made = torch.load(tmp_path / "b.pth")
    assert made["meta"] == {"epoch": 3}  # score thresholds were measured on other weights
    found = made["state_dict"][f"{LAYER}.weight"][:3].norm(dim=1)
    assert torch.allclose(found, found[:1].expand(3)) and "1 final layer rescaled" in capsys.readouterr().out
