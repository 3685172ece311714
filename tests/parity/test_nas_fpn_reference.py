"""NASFPN against a slow reference written from the published node table, in float64, outputs and gradients.

The reference shares no code with the module: convolutions are sums of shifted maps, batch norm is written out, the
graph is walked row by row as the table prints it.
"""

import pytest
import torch

from frozen_det.models.necks.nas_fpn import NASFPN

TABLE = (  # node, level, operation, inputs, level of the unread map that is added as well
    (5, 4, "attention", 1, 3, None),
    (6, 4, "sum", 1, 5, None),
    (7, 3, "sum", 0, 6, None),
    (8, 4, "sum", 6, 7, None),
    (9, 5, "attention", 7, 8, 2),
    (10, 7, "attention", 6, 9, 4),
    (11, 6, "attention", 9, 10, None),
)
EPS = 1e-4


def slow_conv(x, weight, bias):
    """Stride-1 convolution that keeps the size: one matrix product per kernel cell. Grouped when weight is."""
    k = weight.shape[-1]
    padded = torch.zeros(*x.shape[:2], x.shape[2] + k - 1, x.shape[3] + k - 1, dtype=x.dtype)
    r = k // 2
    padded[:, :, r : r + x.shape[2], r : r + x.shape[3]] = x
    total = 0
    for i in range(k):
        for j in range(k):
            window = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            if weight.shape[1] == 1 and x.shape[1] > 1:
                total = total + window * weight[:, 0, i, j][None, :, None, None]
            else:
                total = total + torch.einsum("nchw,oc->nohw", window, weight[:, :, i, j])
    return total if bias is None else total + bias[None, :, None, None]


def slow_norm(x, weight, bias):
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    return (x - mean) / (variance + EPS).sqrt() * weight[None, :, None, None] + bias[None, :, None, None]


def slow_resample(x, level, target):
    n, c, h, w = x.shape
    if target > level:
        s = 2 ** (target - level)
        return x.reshape(n, c, h // s, s, w // s, s).amax((3, 5))
    s = 2 ** (level - target)
    return x.repeat_interleave(s, 2).repeat_interleave(s, 3)


def activation(x, name):
    return x / (1 + (-x).exp()) if name == "Swish" else x.clamp(min=0)


class SlowNASFPN:
    """Walks the table with the weights of a built neck, found by their names."""

    def __init__(self, neck, act, combine, block):
        self.weights = dict(neck.named_parameters())
        self.neck, self.act, self.combine, self.block = neck, act, combine, block

    def layer(self, name, x):
        w = self.weights
        if f"{name}.conv.0.weight" in w:
            x = slow_conv(x, w[f"{name}.conv.0.weight"], None)
            x = slow_conv(x, w[f"{name}.conv.1.weight"], w[f"{name}.conv.1.bias"])
        else:
            x = slow_conv(x, w[f"{name}.conv.weight"], w.get(f"{name}.conv.bias"))
        return slow_norm(x, w[f"{name}.norm.weight"], w[f"{name}.norm.bias"])

    def project(self, name, x):
        return self.layer(name, x) if f"{name}.norm.weight" in self.weights else x

    def after(self, name, x):
        x = activation(x, self.act)
        if self.block == "conv":
            return self.layer(name, x)
        branch = activation(self.layer(f"{name}.reduce", x), self.act)
        branch = activation(self.layer(f"{name}.conv", branch), self.act)
        return activation(self.layer(f"{name}.expand", branch) + self.layer(f"{name}.shortcut", x), self.act)

    def cell(self, repeat, maps):
        maps = dict(enumerate(maps))
        levels = {i: 3 + i for i in range(5)}
        for row, (node, level, operation, a, b, extra) in enumerate(TABLE):
            coarse, fine = (a, b) if levels[a] >= levels[b] else (b, a)
            name = f"cells.{repeat}.nodes.{row}"
            x, y, *more = (
                slow_resample(self.project(f"{name}.projections.{i}", maps[j]), levels[j], level)
                for i, j in enumerate([coarse, fine] + ([] if extra is None else [extra]))
            )
            if operation == "attention" and self.combine == "attention":
                merged = x + y / (1 + (-x.amax((2, 3), keepdim=True)).exp())
            else:
                merged = x + y
            maps[node] = self.after(f"{name}.block", merged + sum(more))
            levels[node] = level
        return [maps[i] for i in (7, 8, 9, 11, 10)]

    def __call__(self, inputs):
        maps = [self.project(f"projections.{i}", x) for i, x in enumerate(inputs[self.neck.start_level :])]
        while len(maps) < 5:
            maps.append(slow_resample(maps[-1], 3, 4))
        for repeat in range(len(self.neck.cells)):
            maps = self.cell(repeat, maps)
        return maps


def gradients(outputs, wanted, seed=1):
    generator = torch.Generator().manual_seed(seed)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=o.dtype)).sum() for o in outputs)
    return torch.autograd.grad(loss, wanted)


@pytest.mark.parametrize(
    ("act", "options"),
    [
        ("Swish", {}),
        ("ReLU", {"start_level": 0, "num_repeats": 1}),
        ("Swish", {"separable": True, "num_repeats": 1}),
        ("Swish", {"combine": "sum", "block": "bottleneck", "out_channels": 32}),
    ],
    ids=["authors", "relu-from-first-map", "separable", "b7-bottleneck"],
)
def test_outputs_and_gradients_equal_the_slow_reference(act, options):
    options = {"out_channels": 8, "num_repeats": 2, **options}
    widths = [4, 6, 8, 12][: 3 if options.get("start_level") == 0 else 4]
    neck = NASFPN(widths, act_cfg={"type": act}, **options).double().train()
    for p in neck.parameters():  # biases and norms off their initial values, so that each is seen
        torch.nn.init.normal_(p, 0.1, 0.5)
    first = 32 * 2**neck.start_level
    inputs = [
        torch.randn(2, c, first // 2**i, first // 2**i, dtype=torch.float64, requires_grad=True)
        for i, c in enumerate(widths)
    ]
    reference = SlowNASFPN(neck, act, options.get("combine", "attention"), options.get("block", "conv"))
    fast, slow = neck(inputs), reference(inputs)
    assert len(fast) == len(slow) == 5
    for f, s in zip(fast, slow):
        assert f.shape == s.shape
        assert torch.allclose(f, s, rtol=1e-6, atol=1e-8 * s.abs().max().item())
    wanted = inputs[neck.start_level :] + list(neck.parameters())
    ours = gradients(fast, wanted)
    for f, s in zip(ours, gradients(slow, wanted)):
        assert torch.allclose(f, s, rtol=1e-6, atol=1e-8 * max(1.0, s.abs().max().item()))
    assert all(g.abs().max() > 0 for g in ours[: len(inputs) - neck.start_level])
