"""Frozen passes shared or stored against each computed anew: detectors on one backbone in use and in training, a cache.

Members are equal detectors on a backbone with random weights: Faster R-CNN with a pyramid of 128 channels, or Cascade
R-CNN with NAS-FPN. Both arms do the same work in turns in one process: k passes of one image, one training step each,
or one step with features from disk (float32). With a share f of the backbone in the time of the separate passes,
sharing can reach (f + k (1 - f)) / k of it and a cache 1 - f; f is measured in the same calls. Memory is the peak of a
separate process for each arm at work with k detectors; loading, which holds a backbone twice for a moment, is left out.
"""

import contextlib
import copy
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory

import numpy as np
import torch

from ..engine.runner.lockstep import Lockstep
from ..host.processes import ONE_HEAP
from ..inference.family import DetectorFamily
from ..models.backbones.stored_features import read_features_from
from ..weights.feature_store import FeatureStore
from .detector_batch import synthetic_batch
from .measurement import (
    add_output,
    add_timm_backbones,
    in_fresh_process,
    in_turns,
    machine,
    number,
    peak_resident_bytes,
    require_from_one,
    resident_bytes,
    text_table,
)

BODIES = ("vit_base_patch16_224", "resnet50", "tf_efficientnet_lite0")
WORK = ("use", "training", "cache")
_WIDER = {"model.detector.neck.out_channels": 128, "model.detector.rpn_head.feat_channels": 128}
_CASCADE = "smoke/cascade-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy"
# Decoder -> config and its overrides.
DECODERS = {
    "fpn": ("quickstart", {**_WIDER, "model.detector.roi_head.bbox_head.fc_out_channels": 512}),
    "nasfpn-cascade": (_CASCADE, {**_WIDER, "model.detector.roi_head.bbox_head.conv_out_channels": 128}),
}


@dataclass
class Row:
    """One backbone and decoder, in use, in training or with a cache.

    Attributes:
        share: of the backbone in the time of the separate passes.
        alone_ms, together_ms: median wall time of all k.
        ratio, bound: together over alone, and what sharing can reach by the share; medians over the rounds.
        of_bound: ratio over bound in each round, by wall time.
        cpu_of_bound: their median by process time.
        peak_mib: alone and together; None where it was not measured.
        peak_of_bound: the ratio of the two over that of one backbone and k decoders to k of both.
    """

    body: str
    decoder: str
    work: str
    share: float
    alone_ms: float
    together_ms: float
    ratio: float
    bound: float
    of_bound: list[float]
    cpu_of_bound: float
    peak_mib: tuple[float, float] | None = None
    peak_of_bound: float | None = None


def add_arguments(parser) -> None:
    add_timm_backbones(parser, BODIES)
    parser.set_defaults(size=(384, 384))
    parser.add_argument("--decoders", nargs="+", default=["fpn"], choices=DECODERS, help="default: fpn")
    parser.add_argument("--members", type=int, default=8, help="detectors k (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of both arms (default 3)")
    parser.add_argument("--no-peak", action="store_true", help="leave the memory out: four processes a backbone")
    add_output(parser, device=False)


def run(args) -> int:
    require_from_one(args, "members", "rounds")
    rows = []
    for body, decoder in itertools.product(args.bodies, args.decoders):
        found = measure(body, decoder, args.size, args.members, args.rounds, peak=not args.no_peak)
        print(table(found), file=sys.stderr, flush=True)  # a run that is interrupted has shown what it had
        rows += found
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    size = f"{args.members} members, {args.size[0]} x {args.size[1]}, {args.rounds} rounds in turns"
    print(f"{size}, {machine(on_gpu=False)}", table(rows), sep="\n")
    return 0


def measure(body: str, decoder: str, size_hw: Sequence[int], k: int, rounds: int, peak: bool = True) -> list[Row]:
    """One backbone and decoder: every kind of work; see :class:`Row`. In processes with one heap, as a sweep has."""
    rows, shared = _in_process("times", f"the times of {k} detectors on {body}", body, decoder, size_hw, k, rounds)
    rows = [Row(**row) for row in rows]
    for row in rows if peak else []:
        if row.work != "cache":
            _add_peak(row, shared, size_hw, k)
    return rows


def _in_process(kind: str, what: str, *arguments):
    env = {**ONE_HEAP, **os.environ}
    return in_fresh_process(__spec__.name, kind, json.dumps(arguments), what=what, env=env)


def _measured_times(body: str, decoder: str, size_hw: Sequence[int], k: int, rounds: int) -> tuple[list[dict], float]:
    """Rows without memory, and the frozen tensors' MiB."""
    first = _detector(body, decoder, size_hw)
    rows = []
    for work in WORK:
        if work == "cache":
            k = 1
        calls = {arm: _prepared(copy.deepcopy(first), work, arm, k, size_hw) for arm in ("alone", "together")}
        alone, together, backbone = _times(calls, work, rounds)
        found = {
            kind: [
                _against_bound(a, b, inside[place], 0 if work == "cache" else k)
                for a, b, inside in zip(getattr(alone, kind), getattr(together, kind), backbone)
            ]
            for place, kind in enumerate(("walls", "cpus"))
        }
        share, ratio, bound = (statistics.median(one[place] for one in found["walls"]) for place in range(3))
        row = Row(
            body,
            decoder,
            work,
            share,
            alone.wall_ms,
            together.wall_ms,
            ratio,
            bound,
            [ratio / bound for _, ratio, bound in found["walls"]],
            statistics.median(ratio / bound for _, ratio, bound in found["cpus"]),
        )
        rows.append(asdict(row))
    return rows, _frozen_mib(first)


def _frozen_mib(detector) -> float:
    return sum(one.nbytes for one in detector.model.backbone.frozen_tensors().values()) / 2**20


def _times(calls: dict, work: str, rounds: int):
    """Times of both arms, and of each round the seconds that the backbones took alone."""
    for arm in calls.values():
        arm.members[0].do(work)  # the first pass of a process is slower
    clocks = [one.clock for one in calls["alone"].members]
    clocks[0].taken()
    backbone: list[tuple[float, ...]] = []
    times = in_turns(calls, rounds, warm_up=0, after=lambda arm: arm == "alone" and backbone.append(_summed(clocks)))
    return times["alone"], times["together"], backbone


def table(rows: list[Row]) -> str:
    """The measurements as text."""
    cells = [
        [
            row.body,
            row.decoder,
            row.work,
            f"{row.share:.2f}",
            f"{row.alone_ms:.0f}",
            f"{row.together_ms:.0f}",
            f"{row.ratio:.3f}",
            f"{row.bound:.3f}",
            f"{statistics.median(row.of_bound):.3f}",
            f"{min(row.of_bound):.3f}..{max(row.of_bound):.3f}",
            f"{row.cpu_of_bound:.3f}",
            *(number(value, ".0f") for value in row.peak_mib or (None, None)),
            number(row.peak_of_bound, ".3f"),
        ]
        for row in rows
    ]
    header = (
        "backbone|decoder|work|share|alone ms|together ms|ratio|bound|/ bound|from..to|CPU / bound|"
        "alone MiB|together MiB|memory / bound"
    )
    return text_table(header, cells, left=3)


def _against_bound(alone: float, together: float, backbone: float, k: int) -> tuple[float, float, float]:
    """Share, ratio and bound; k is 0 where no member computes the backbone."""
    share = backbone / alone
    return share, together / alone, (share + k * (1 - share)) / k if k else 1 - share


class _Clock:
    """Sums the time of a module's forward passes."""

    def __init__(self, module):
        self.wall = self.cpu = 0.0
        module.register_forward_pre_hook(lambda *_: self._add(-1))
        module.register_forward_hook(lambda *_: self._add(1))

    def taken(self) -> tuple[float, float]:
        """Wall and process seconds; begins again at 0."""
        found, self.wall, self.cpu = (self.wall, self.cpu), 0.0, 0.0
        return found

    def _add(self, sign: int) -> None:
        self.wall += sign * time.perf_counter()
        self.cpu += sign * time.process_time()


def _summed(clocks: list[_Clock]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*(one.taken() for one in clocks))))


class _Member:
    """A detector with what one step of training needs."""

    def __init__(self, detector, size_hw: tuple[int, int]):
        self.detector, self.clock = detector, _Clock(detector.model.backbone)
        trained = [one for one in detector.model.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-6)
        self.image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
        self.batch = synthetic_batch(max(size_hw), num_classes=10, images=1, with_masks=False)

    def do(self, work: str) -> None:
        """Detect in an image, or take a step."""
        self.detector([self.image]) if work == "use" else self.step()

    def step(self) -> None:
        """One step of training."""
        model = self.detector.model
        data = model.data_preprocessor(copy.deepcopy(self.batch), training=True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 10.0)
        self.optimizer.step()


@dataclass
class _Arm:
    """The work of k detectors as a call."""

    members: list[_Member]
    call: Callable[[], object]

    def __call__(self) -> None:
        self.call()


def _prepared(first, work: str, arm: str, k: int, size_hw) -> _Arm:
    """A detector and k - 1 copies of it, and what they do in an arm."""
    family = DetectorFamily() if arm == "together" and work != "cache" else None
    found = [first.model.train(work != "use") and first]
    for number_ in range(k):
        if number_:
            found.append(copy.deepcopy(first, {} if family is None else _held_once(first)))
        if family is not None:
            family.add(str(number_), found[-1])
    members = {str(number_): _Member(one, size_hw) for number_, one in enumerate(found)}
    if arm == "together" and work == "cache":
        folder = TemporaryDirectory(prefix="frozen_det-")
        read_features_from(first.model.backbone, FeatureStore(folder.name))
        return _Arm(list(members.values()), lambda folder=folder: members["0"].do(work))
    if family is None:
        return _Arm(list(members.values()), lambda: [one.do(work) for one in members.values()])
    if work == "use":
        return _Arm(list(members.values()), lambda: family([members["0"].image]))
    steps = {name: [one.step] for name, one in members.items()}
    return _Arm(list(members.values()), lambda: _require_done(Lockstep(steps).run()))


def _held_once(detector) -> dict[int, object]:
    """What a copy for a family leaves as it is: the peak would be that of copying, with two backbones at a time."""
    return {id(one): one for one in detector.model.backbone.state_dict(keep_vars=True).values()}


def _require_done(outcomes: dict) -> None:
    for found in outcomes.values():
        if isinstance(found, BaseException):
            raise found


def _detector(body: str, decoder: str, size_hw):
    from ..config import load_config
    from ..inference.detector import new_detector
    from .measured_step import quiet_host

    cfg = load_config(*DECODERS[decoder])
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset = dict(type="frozen_det.CocoDataset", ann_file="none.json", pipeline=pipeline)
    for step in pipeline:
        if step["type"].split(".")[-1] == "Resize":
            step.update(scale=tuple(size_hw)[::-1], keep_ratio=False)
    cfg.model.detector.data_preprocessor = dict(type="DetDataPreprocessor", pad_size_divisor=32)
    torch.manual_seed(0)
    with quiet_host():
        return new_detector(
            cfg, dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name=body), weights="random"), "cpu"
        )


# -- memory ------------------------------------------------------------------------------------------------------------


def _add_peak(row: Row, shared: float, size_hw: Sequence[int], k: int) -> None:
    what = f"{k} detectors on {row.body} in {row.work}"
    alone, together = (
        _in_process("peak", what, row.body, row.decoder, row.work, arm, k, size_hw) for arm in ("alone", "together")
    )
    # What each member but the first could save is its backbone.
    row.peak_mib = alone, together
    row.peak_of_bound = together / (alone - (k - 1) * shared)


def _peak_mib(body: str, decoder: str, work: str, arm: str, k: int, size_hw) -> float:
    first = _detector(body, decoder, size_hw)
    before = (resident_bytes() or peak_resident_bytes()) - sum(one.nbytes for one in first.model.state_dict().values())
    _prepared(first, work, arm, k, size_hw)()
    return (peak_resident_bytes() - before) / 2**20


if __name__ == "__main__":  # the process that `_in_process` starts
    with contextlib.redirect_stdout(sys.stderr):
        result = {"times": _measured_times, "peak": _peak_mib}[sys.argv[1]](*json.loads(sys.argv[2]))
    print(json.dumps(result))
