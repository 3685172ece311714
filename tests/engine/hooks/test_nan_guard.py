"""NaNGuardHook: names the first module, before the step, and costs next to nothing while all is well."""

import copy
import tempfile

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from frozen_det.engine.hooks.nan_guard import NaNGuardHook, first_non_finite
from frozen_det.errors import InputError


class Brittle(nn.Module):
    """The identity, until it is set to divide by zero."""

    broken = False

    def forward(self, x):
        return x * torch.tensor(float("nan")) if self.broken else x


class Chain(BaseModel):
    """conv -> norm -> brittle -> linear, loss = mean of squares."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.middle = Brittle()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)
        self.seen = []

    def forward(self, inputs, data_samples=None, mode="loss"):
        x = self.drop(self.middle(self.body(torch.stack(list(inputs)))))
        self.seen.append(x.detach().clone())
        loss = self.head(x.mean((2, 3))).square().mean()
        return dict(loss_square=loss, loss_log=self.extra(loss), count=torch.tensor(1.0))

    def extra(self, loss):
        return loss * 0


def batches(count=4, poison=None):
    g = torch.Generator().manual_seed(0)
    made = []
    for i in range(count):
        sample = DetDataSample(metainfo=dict(img_path=f"images/{i}.jpg"))
        image = torch.randn(3, 8, 8, generator=g)
        if i == poison:
            image[0, 0, 0] = float("inf")
        made.append(dict(inputs=image, data_samples=sample))
    return made


def train(model, data, hooks=None):
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=model,
            work_dir=folder,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            train_dataloader=dict(
                dataset=data,
                batch_size=2,
                num_workers=0,
                sampler=dict(type="DefaultSampler", shuffle=False),
                collate_fn=dict(type="pseudo_collate"),
            ),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(checkpoint=None, logger=None),
            log_level="ERROR",
            experiment_name=f"nan{id(model)}",
            randomness=dict(seed=3),
            custom_hooks=[dict(type="frozen_det.NaNGuardHook")] if hooks is None else hooks,
            default_scope="mmdet",
        )
        runner.train()
        return runner


def message(model, data):
    with pytest.raises(InputError) as caught:
        train(model, data)
    return str(caught.value)


def test_it_is_found_by_its_scoped_name():
    assert HOOKS.get("frozen_det.NaNGuardHook") is NaNGuardHook


def test_the_first_module_is_named_before_the_step_and_weights_stay():
    model = Chain()
    model.middle.broken = True
    before = {k: v.clone() for k, v in model.named_parameters()}
    text = message(model, batches())
    assert "output of module `middle` (Brittle), whose inputs and parameters are finite" in text
    assert "got nan in iteration 1" in text and "images/0.jpg, images/1.jpg" in text
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


def test_a_broken_parameter_is_named_with_its_module():
    model = Chain()
    model.head.weight.data[0, 0] = float("nan")
    assert "`head` (Linear), whose own weight is not finite" in message(model, batches())


def test_a_broken_image_is_named_by_the_module_that_reads_it_and_by_file():
    text = message(Chain(), batches(poison=3))
    assert "`data_preprocessor` (BaseDataPreprocessor), whose input is not finite already" in text
    assert "in iteration 2" in text
    assert "images/2.jpg, images/3.jpg" in text


def test_a_loss_that_breaks_outside_modules_is_named_by_its_entry():
    model = Chain()
    model.extra = lambda loss: torch.log(loss * 0 - 1)
    assert "in the losses of the model (Chain): loss_log" in message(model, batches())


def test_infinity_counts_as_well():
    model = Chain()
    model.extra = lambda loss: loss / 0
    assert "got inf in iteration 1" in message(model, batches())


def test_the_second_run_draws_the_same_random_numbers():
    model = Chain()
    model.extra = lambda loss: loss / 0
    message(model, batches())
    first, second = model.seen
    assert torch.equal(first, second) and (first == 0).any()


def test_with_step_seeds_numpys_draws_come_back_as_well():
    drawn = []
    model = Chain()
    model.extra = lambda loss: drawn.append(np.random.rand()) or loss / 0
    with pytest.raises(InputError):
        train(model, batches(), hooks=[dict(type="frozen_det.StepSeedHook"), dict(type="frozen_det.NaNGuardHook")])
    assert len(drawn) == 2 and drawn[0] == drawn[1]


def test_a_loss_that_does_not_break_again_says_so():
    model = Chain()
    flip = iter([float("nan"), 0.0])
    model.extra = lambda loss: loss * next(flip)
    assert "did not come back" in message(model, batches())


def test_the_second_run_leaves_buffers_and_hooks_as_they_were():
    model = Chain().train()
    before = copy.deepcopy(model.state_dict())
    batch = dict(inputs=[b["inputs"] for b in batches(2)], data_samples=None)
    assert "did not come back" in first_non_finite(model, batch)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_finite_run_is_the_same_with_and_without_the_guard_and_leaves_nothing_behind():
    plain = Chain()
    guarded = copy.deepcopy(plain)
    train(plain, batches(), hooks=[])
    runner = train(guarded, batches())
    assert len(guarded.seen) == 2
    assert all(torch.equal(a, b) for a, b in zip(plain.seen, guarded.seen))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), guarded.parameters()))
    assert "update_params" not in vars(runner.optim_wrapper)


def test_in_an_mmdet_detector_the_first_broken_layer_of_the_neck_is_named():
    detector = MODELS.build(
        ConfigDict(
            type="mmdet.RetinaNet",
            data_preprocessor=dict(type="mmdet.DetDataPreprocessor", pad_size_divisor=32),
            backbone=dict(type="mmdet.ResNet", depth=18, out_indices=(2, 3)),
            neck=dict(type="frozen_det.FPN", in_channels=[256, 512], out_channels=8, num_outs=3),
            bbox_head=dict(
                type="frozen_det.RetinaHead",
                num_classes=2,
                in_channels=8,
                feat_channels=8,
                stacked_convs=1,
                anchor_generator=dict(
                    type="mmdet.AnchorGenerator",
                    octave_base_scale=4,
                    scales_per_octave=1,
                    ratios=[1.0],
                    strides=[16, 32, 64],
                ),
            ),
            train_cfg=dict(
                assigner=dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
                sampler=dict(type="mmdet.PseudoSampler"),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
        )
    )
    sample = DetDataSample(metainfo=dict(img_shape=(128, 128), ori_shape=(128, 128)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[10.0, 10, 90, 80]]), labels=torch.tensor([1]))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    batch = dict(inputs=[torch.zeros(3, 128, 128, dtype=torch.uint8)] * 2, data_samples=[sample, copy.deepcopy(sample)])
    detector.train()
    assert "did not come back" in first_non_finite(detector, batch)
    detector.neck.laterals[1].bias.data[0] = float("inf")
    assert "`neck.laterals.1` (Conv2d), whose own bias is not finite" in first_non_finite(detector, batch)
