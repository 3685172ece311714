"""NASFPN: its graph, shapes, errors, initial weights, memory and behaviour in training."""

import copy
import math

import pytest
import torch
from mmdet.registry import MODELS

from frozen_det.errors import InputError
from frozen_det.models.necks.nas_fpn import GRAPH, NASFPN, Step, plan_steps


def maps(widths, first, batch=1, requires_grad=False):
    return [
        torch.randn(batch, c, first // 2**i, first // 2**i, requires_grad=requires_grad) for i, c in enumerate(widths)
    ]


def test_the_plan_names_gate_and_gated_map_and_adds_exactly_p5_and_p7():
    steps, levels = plan_steps(GRAPH)
    assert levels == (3, 4, 5, 6, 7, 4, 4, 3, 4, 5, 7, 6)
    assert steps == (
        Step(4, True, 3, 1, ()),
        Step(4, False, 1, 5, ()),
        Step(3, False, 6, 0, ()),
        Step(4, False, 6, 7, ()),
        Step(5, True, 8, 7, (2,)),
        Step(7, True, 9, 6, (4,)),
        Step(6, True, 10, 9, ()),
    )


def test_combine_sum_leaves_no_attention_and_the_same_sources():
    assert not any(step.attention for step in plan_steps(GRAPH, "sum")[0])
    assert [s.sources for s in plan_steps(GRAPH, "sum")[0]] == [s.sources for s in plan_steps(GRAPH)[0]]


def test_it_is_found_by_its_scoped_name_and_mmdets_own_stays_reachable():
    ours = MODELS.build(dict(type="frozen_det.NASFPN", in_channels=[8, 8, 8], out_channels=8, num_repeats=1))
    assert isinstance(ours, NASFPN)
    theirs = MODELS.build(
        dict(
            type="mmdet.NASFPN",
            in_channels=[8, 8, 8],
            out_channels=8,
            num_outs=5,
            stack_times=1,
            norm_cfg=dict(type="BN"),
        )
    )
    assert [tuple(x.shape) for x in theirs(maps([8, 8, 8], 32, batch=2))] == [(2, 8, s, s) for s in (32, 16, 8, 4, 2)]


def test_it_builds_and_runs_on_meta_tensors_with_the_parameter_count_of_the_paper_s_neck():
    with torch.device("meta"):
        neck = NASFPN([256, 512, 1024, 2048])
        shapes = [tuple(x.shape) for x in neck(maps([256, 512, 1024, 2048], 320))]
    assert shapes == [(1, 256, s, s) for s in (160, 80, 40, 20, 10)]
    nodes = 5 * 7 * (256 * 256 * 9 + 256 + 2 * 256)
    projections = 256 * (512 + 1024 + 2048) + 3 * (256 + 2 * 256)
    assert sum(p.numel() for p in neck.parameters()) == nodes + projections == 21_590_528


def test_no_projection_where_the_width_is_already_right():
    neck = NASFPN([16, 8, 32], out_channels=8, num_repeats=1)
    assert [len(list(p.parameters())) for p in neck.projections] == [4, 0, 4]


def test_bottleneck_output_is_four_times_as_wide_as_inside_and_projected_at_every_use():
    neck = NASFPN([8, 8, 8], out_channels=32, num_repeats=2, block="bottleneck", combine="sum")
    assert [x.shape[1] for x in neck(maps([8, 8, 8], 32, batch=2))] == [32] * 5
    projected = [[len(list(p.parameters())) > 0 for p in node.projections] for node in neck.cells[1].nodes]
    assert projected == [[True] * n for n in (2, 2, 2, 2, 3, 3, 2)]
    assert [any(len(list(p.parameters())) for p in node.projections) for node in neck.cells[0].nodes] == [
        False,
        True,
        True,
        True,
        True,
        True,
        True,
    ]


def test_strides_go_on_doubling_and_a_stride_4_map_is_left_out_by_default():
    assert NASFPN([8] * 4, out_channels=8, num_repeats=1).out_strides((4, 8, 16, 32)) == [8, 16, 32, 64, 128]
    assert NASFPN([8] * 3, out_channels=8, num_repeats=1).out_strides((8, 16, 32)) == [8, 16, 32, 64, 128]
    neck = NASFPN([8] * 4, out_channels=8, num_repeats=1, start_level=0)
    assert neck.out_strides((4, 8, 16, 32)) == [4, 8, 16, 32, 64]
    with pytest.raises(InputError, match="double"):
        neck.out_strides((4, 8, 32, 64))


@pytest.mark.parametrize("height, width", [(16, 16), (16, 48), (112, 80)])
def test_any_size_whose_level_3_is_a_multiple_of_16_passes(height, width):
    neck = NASFPN([4, 4, 4], out_channels=8, num_repeats=2, norm_cfg=dict(type="GN", num_groups=4))
    out = neck([torch.randn(1, 4, height // 2**i, width // 2**i) for i in range(3)])
    assert [tuple(x.shape[-2:]) for x in out] == [(height // 2**i, width // 2**i) for i in range(5)]


@pytest.mark.parametrize("sizes", [[(24, 16), (12, 8), (6, 4)], [(16, 16), (8, 8), (8, 8)]])
def test_other_sizes_are_refused_with_the_multiple_that_is_needed(sizes):
    neck = NASFPN([4, 4, 4], out_channels=8, num_repeats=1)
    with pytest.raises(InputError, match=r"multiples of 16 .*pad_size_divisor=128"):
        neck([torch.randn(1, 4, *s) for s in sizes])


def test_a_1x1_level_at_batch_1_is_refused_under_batch_norm_and_taken_under_group_norm():
    inputs = maps([4, 4, 4], 16)
    with pytest.raises(InputError, match="1x1 map at batch size 1"):
        NASFPN([4, 4, 4], out_channels=8, num_repeats=1)(inputs)
    out = NASFPN([4, 4, 4], out_channels=8, num_repeats=1, norm_cfg=dict(type="GN", num_groups=2))(inputs)
    assert all(x.isfinite().all() for x in out)


def test_batch_1_in_training_gives_finite_gradients_everywhere():
    neck = NASFPN([4, 4, 4], out_channels=8, num_repeats=2)
    sum(x.square().sum() for x in neck(maps([4, 4, 4], 32))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in neck.parameters())


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(num_outs=4), "num_outs=5"),
        (dict(combine="concat"), "'attention' or 'sum'"),
        (dict(block="conv", drop_connect=0.2), "only with block='bottleneck'"),
        (dict(block="bottleneck", out_channels=10), "multiple of 4"),
        (dict(start_level=3), "leaves 1 to 5 maps"),
        (dict(norm_cfg=dict(type="GN", num_groups=3)), "divide the channels"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(wrong, message):
    with pytest.raises(InputError, match=message):
        NASFPN([4, 4, 4], **{"out_channels": 8, "num_repeats": 1, **wrong})


def test_a_wrong_number_of_maps_is_refused():
    with pytest.raises(InputError, match="expected 3 maps, got 2"):
        NASFPN([4, 4, 4], out_channels=8, num_repeats=1)(maps([4, 4], 32))


def test_initial_kernels_are_he_normal_by_fan_out_and_biases_zero():
    neck = NASFPN([64, 64, 64], out_channels=32, num_repeats=3)
    node = torch.cat([n.block.conv.weight.flatten() for cell in neck.cells for n in cell.nodes])
    assert node.std().item() == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.02)
    assert neck.projections[0].conv.weight.std().item() == pytest.approx(math.sqrt(2 / 32), rel=0.05)
    assert all((m.bias == 0).all() for m in neck.modules() if isinstance(m, torch.nn.Conv2d))
    separable = NASFPN([64, 64, 64], out_channels=64, num_repeats=5, separable=True)
    depthwise = torch.cat([n.block.conv[0].weight.flatten() for cell in separable.cells for n in cell.nodes])
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.02)
    neck.init_weights()
    again = torch.cat([n.block.conv.weight.flatten() for cell in neck.cells for n in cell.nodes])
    assert torch.equal(node, again)


def run(neck, inputs):
    torch.manual_seed(3)
    outputs = neck(inputs)
    grads = torch.autograd.grad(sum((x**2).sum() for x in outputs), [*inputs, *neck.parameters()])
    return outputs, grads


@pytest.mark.parametrize(
    "options", [{}, dict(block="bottleneck", combine="sum", drop_connect=0.5)], ids=["conv", "bottleneck-drop-connect"]
)
def test_checkpointed_cells_give_the_same_outputs_gradients_and_running_statistics(options):
    plain = NASFPN([4, 4, 4], out_channels=8, num_repeats=2, **options).double()
    saving = copy.deepcopy(plain)
    saving.with_checkpoint = True
    inputs = [x.double().requires_grad_() for x in maps([4, 4, 4], 32, batch=2)]
    before = {k: v.clone() for k, v in plain.named_buffers()}
    for ours, theirs in zip(run(plain, inputs), run(saving, inputs)):
        assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(ours, theirs))
    ours = dict(saving.named_buffers())
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, ours[name]), name
        assert not torch.equal(buffer, before[name]), name
    assert {int(v) for k, v in ours.items() if k.endswith("num_batches_tracked")} == {1}


def bytes_kept(neck, inputs):
    kept = {}
    own = {p.untyped_storage().data_ptr() for p in [*neck.parameters(), *neck.buffers()]}

    def pack(t):
        if t.untyped_storage().data_ptr() not in own:
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        outputs = neck(inputs)
    total = sum(kept.values())
    del outputs
    return total


def test_checkpointed_cells_keep_less_than_a_third_of_the_bytes_for_backward():
    neck = NASFPN([8, 8, 8], out_channels=8, num_repeats=5)
    inputs = maps([8, 8, 8], 64, requires_grad=True)
    plain = bytes_kept(neck, inputs)
    neck.with_checkpoint = True
    assert bytes_kept(neck, inputs) < plain / 3


def test_checkpointing_leaves_inference_alone():
    neck = NASFPN([4, 4, 4], out_channels=8, num_repeats=1, with_checkpoint=True).eval()
    inputs = maps([4, 4, 4], 16)
    with torch.no_grad():
        out = neck(inputs)
    neck.with_checkpoint = False
    assert all(torch.equal(a, b) for a, b in zip(out, neck(inputs)))


def test_drop_connect_acts_per_sample_in_training_only():
    neck = NASFPN([8, 8, 8], out_channels=32, num_repeats=1, block="bottleneck", combine="sum", drop_connect=0.5)
    block = neck.cells[0].nodes[0].block.train()
    x = torch.randn(64, 8, 2, 2)
    shortcut = block.act(block.shortcut(x))
    same = (block(x) - shortcut).abs().amax((1, 2, 3)) < 1e-6
    assert 12 < int(same.sum()) < 52
    block.eval()
    assert torch.equal(block(x), block(x))
