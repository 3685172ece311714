"""Two gloo processes, one of which has no proposal and no object: every parameter has its gradient on both."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn

import frozen_det  # noqa: F401  a started process has no conftest: mmcv's operators, before mmdet asks for them

from ...parity.roi_scene import TEST_CFG, rcnn_train_cfg, roi_extractor, scene
from .test_cascade_roi_head import cascade, total, with_masks

HOSTS_HEAD = dict(type="mmdet.Shared2FCBBoxHead", in_channels=8, fc_out_channels=16, num_classes=3)


def _one_stage():
    head = dict(type="frozen_det.ConvFCBBoxHead", num_shared_convs=1, num_shared_fcs=1, in_channels=8)
    return MODELS.build(
        ConfigDict(
            type="StandardRoIHead",
            _scope_="mmdet",
            bbox_roi_extractor=roi_extractor(),
            bbox_head=dict(head, conv_out_channels=8, fc_out_channels=16, num_classes=3),
            train_cfg=rcnn_train_cfg(0.5),
            test_cfg=TEST_CFG,
        )
    )


KINDS = {
    "boxes": cascade,
    "boxes, mmdet's heads, sampled again": lambda: cascade(
        bbox_head=dict(HOSTS_HEAD, reg_class_agnostic=True), resample=True, keep_gt_rois=False
    ),
    "a mask head for each stage": with_masks,
    "one mask head": lambda: with_masks(mask_stages="last"),
    "one stage": _one_stage,
}


class WithNeck(nn.Module):
    """A RoI head behind a convolution of the maps."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.neck, self.roi_head = nn.Conv2d(8, 8, 1), KINDS[kind]()

    def forward(self, given):
        torch.manual_seed(1)  # of the samplers
        maps, proposals, samples = copy.deepcopy(given)
        return self.roi_head.loss([self.neck(one) for one in maps], proposals, samples)


def _given(rank):
    maps, proposals, samples = scene((3, 2) if rank == 0 else (0, 0))
    return maps, proposals if rank == 0 else [p[:0] for p in proposals], samples


def _steps(model, rank, count=2):
    """The losses and gradients of each step; a DDP process that lacks a gradient says so in the next one."""
    seen = []
    for _ in range(count):
        model.zero_grad()
        losses = model(_given(rank))
        total(losses).backward()
        seen.append(
            (
                {key: value.detach() for key, value in losses.items()},
                {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
            )
        )
    return seen


def _process(rank, store, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    found = {}
    for kind in KINDS:
        model = nn.parallel.DistributedDataParallel(WithNeck(kind), broadcast_buffers=False)
        try:
            found[kind] = _steps(model, rank)
        except RuntimeError as error:
            found[kind] = str(error)
            break  # the other process would wait
    torch.save(found, f"{folder}/{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(_process, (folder / "store", folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pth") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("kind", KINDS)
def test_the_other_process_trains_as_alone_and_gradients_are_halves_of_its_own(processes, kind):
    busy, empty = (found[kind] for found in processes)
    for found, none, (losses, gradients) in zip(busy, empty, _steps(WithNeck(kind).train(), 0), strict=True):
        assert {key for key in none[0] if "loss" in key} == {key for key in losses if "loss" in key}
        assert all(value == 0 for key, value in none[0].items() if "loss" in key)
        assert all(torch.equal(found[0][key], value) for key, value in losses.items())
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[1][f"module.{name}"], gradient / 2, rtol=1e-5, atol=1e-8)
            assert torch.equal(none[1][f"module.{name}"], found[1][f"module.{name}"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_regions_gives_every_parameter_of_the_head_a_gradient_of_zero(kind):
    model = WithNeck(kind).train()
    (losses, gradients), *_ = _steps(model, 1, 1)
    assert all(value == 0 for key, value in losses.items() if "loss" in key)
    missing = [name for name, gradient in gradients.items() if gradient is None or gradient.abs().sum() != 0]
    assert missing == []
