"""Too few positions for the queries that an encoder's best positions become."""

import pytest
import torch
from mmdet.models.detectors import DDQDETR, DINO, DeformableDETR
from torch import nn

from frozen_det.errors import InputError
from frozen_det.models.detectors.query_check import check_positions


def _detector(kind, two_stage=True, encoder=None):
    model = kind.__new__(kind)
    nn.Module.__init__(model)
    model.encoder, model.as_two_stage, model.num_queries = encoder or nn.Identity(), two_stage, 5
    return check_positions(model)


class _WithText(nn.Module):
    def forward(self, memory):
        return memory, torch.zeros(1, 9, 2)


@pytest.mark.parametrize("kind, encoder", [(DINO, None), (DeformableDETR, None), (DINO, _WithText())])
def test_fewer_positions_than_queries_are_refused_by_both_numbers(kind, encoder):
    model = _detector(kind, encoder=encoder)
    model.encoder(torch.zeros(2, 5, 8))
    with pytest.raises(
        InputError, match=f"positions on all feature maps of {kind.__name__} as it has queries, 5 .* got 4. "
    ):
        model.encoder(torch.zeros(2, 4, 8))


@pytest.mark.parametrize("kind, two_stage", [(DDQDETR, True), (DeformableDETR, False)])
def test_detectors_that_need_no_more_are_left_alone(kind, two_stage):
    assert _detector(kind, two_stage).encoder(torch.zeros(2, 4, 8)).shape == (2, 4, 8)
