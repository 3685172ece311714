"""EQLv2: tested by sigmoids, as it is trained and as its authors test it."""

import torch

from ..detectors.test_second_stage import detector


def test_a_box_head_scores_by_sigmoids_times_what_is_not_background():
    head = detector(loss_cls=dict(type="frozen_det.EQLV2Loss", num_classes=3)).roi_head.bbox_head
    logits, rois = torch.randn(5, 4), torch.tensor([[0.0, 0, 0, 8, 8]]).repeat(5, 1)
    found = head.predict_by_feat(
        (rois,), (logits.clone(),), (torch.zeros(5, head.fc_reg.out_features),), [dict(img_shape=(32, 32))]
    )[0]
    chances = torch.sigmoid(logits)
    assert torch.allclose(found.scores[:, :3], chances[:, :3] * (1 - chances[:, 3:]))
    assert head.fc_cls.out_features == 4


def test_the_loss_is_mmdets():
    ours, hosts = (
        detector(loss_cls=dict(type=f"{scope}.EQLV2Loss", num_classes=3)).roi_head.bbox_head.loss_cls
        for scope in ("frozen_det", "mmdet")
    )
    for seed in range(3):  # the weights follow from the gradients before
        logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))
        labels = torch.tensor([0, 1, 2, 3, 3, 3])
        assert ours(logits, labels).item() == hosts(logits, labels).item()
