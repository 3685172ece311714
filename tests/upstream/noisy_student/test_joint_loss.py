import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.noisy_classifier import joint_loss


@pytest.mark.parametrize("ratio", [1, 3, 5, 14, 28])
@pytest.mark.parametrize("weighting, share", [("sum", lambda r: r), ("mean", lambda r: r / (1 + r))])
def test_the_weight_of_pseudo_labels_is_the_ratio_or_its_share_of_the_joint_batch(ratio, weighting, share):
    labelled, pseudo = (torch.tensor(value, requires_grad=True) for value in (0.7, 1.9))
    joint_loss(labelled, pseudo, ratio, weighting).backward()
    assert pseudo.grad.item() == pytest.approx(share(ratio))
    assert labelled.grad.item() == pytest.approx(share(ratio) / ratio)


def test_the_mean_is_the_mean_over_all_images_of_the_batch():
    losses = torch.tensor([1.0, 2.0, 5.0, 6.0, 7.0, 0.5])
    assert joint_loss(losses[:2].mean(), losses[2:].mean(), 2, "mean").item() == pytest.approx(losses.mean().item())
    # The released code: the sum over both, divided by the labelled images.
    assert joint_loss(losses[:2].mean(), losses[2:].mean(), 2, "sum").item() == pytest.approx(losses.sum().item() / 2)


def test_another_weighting_is_refused():
    with pytest.raises(InputError, match="'sum', 'mean'.*'both'"):
        joint_loss(torch.zeros(()), torch.zeros(()), 1, "both")
