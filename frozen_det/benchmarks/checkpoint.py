"""Size and save time of a checkpoint: lean and full by our hook, against mmengine's own, optimiser left out.

The three variants save the same model in turns, as mmengine's Runner does: state dict to the CPU, hooks, file. Weights
are random, written to a temporary file first, since a lean checkpoint must name a file that its base can come from.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from ..errors import InputError
from .measurement import add_output, in_turns, require_from_one, text_table

CONFIGS = (
    "cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-600e_coco",
    "cascade-rcnn_adapters-resnetrs101_nasfpn_lsj-600e_coco",
)
LEAN, FULL, HOST = "lean", "full", "mmengine"
# What the requirements allow: at most this much of the model's bytes beyond the share that trains.
_BEYOND_TRAINABLE = 0.01


@dataclass
class Row:
    """One way to save one config's model.

    Attributes:
        trainable_share: trainable parameters of all parameters.
        share: bytes of the file, of the bytes of the whole model (parameters and buffers).
        save_ms, spread_ms: median wall time of a save and its quartile range, digest and disk included.
    """

    config: str
    arm: str
    mib: float
    share: float
    trainable_share: float
    save_ms: float
    spread_ms: float


def add_arguments(parser) -> None:
    text = "configs with a frozen backbone (default: ResNet-RS-101 + NAS-FPN + Cascade, frozen and with adapters)"
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS), metavar="CONFIG", help=text)
    parser.add_argument("--repeats", type=int, default=5, help="measured saves of every variant, after one to warm up")
    add_output(parser, device=False)


def run(args) -> int:
    require_from_one(args, "repeats")
    rows = [row for config in args.configs for row in measure(config, args.repeats)]
    print(json.dumps([asdict(row) for row in rows]) if args.json else table(rows))
    return 0


def measure(config: str, repeats: int) -> list[Row]:
    """Save the model of a config ``repeats`` times in every variant.

    Raises:
        InputError: a config whose backbone is not frozen: there is nothing to leave out.
    """
    with tempfile.TemporaryDirectory() as folder:
        model = _model_with_a_source(config, Path(folder))
        if not model.backbone.is_frozen:
            raise InputError(
                f"expected a config with a frozen backbone, got {config}: nothing in its checkpoints can be left out."
            )
        whole = sum(t.numel() * t.element_size() for t in model.state_dict().values())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        share = trained / sum(p.numel() for p in model.parameters())
        savers = {arm: _saver(arm, Path(folder)) for arm in (LEAN, FULL, HOST)}
        times = in_turns({arm: lambda save=save: save(model) for arm, save in savers.items()}, repeats)
        rows = []
        for arm in savers:
            size = _path(folder, arm).stat().st_size
            ms, spread_ms = times[arm].wall_ms, times[arm].spread_ms
            rows.append(Row(Path(config).stem, arm, size / 2**20, size / whole, share, ms, spread_ms))
    return rows


def table(rows: list[Row]) -> str:
    """The measurements as text, the lean files' excess over the trainable share below."""
    cells = [
        f"{row.config}|{row.arm}|{row.mib:.1f}|{100 * row.share:.2f}|{100 * row.trainable_share:.2f}|"
        f"{row.save_ms:.0f}|{row.spread_ms / 2:.0f}".split("|")
        for row in rows
    ]
    lines = [text_table("config|variant|MiB|of model %|trains %|save ms|± ms", cells, left=2), ""]
    lines += [
        f"{row.config}: lean is {100 * (row.share - row.trainable_share):+.2f} % of the model beside the share "
        f"that trains (to reach: at most +{100 * _BEYOND_TRAINABLE:.0f} %)"
        for row in rows
        if row.arm == LEAN
    ]
    return "\n".join(lines)


def _model_with_a_source(config: str, folder: Path):
    """The config's detector, its backbone's weights random but with a file they come from."""
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from ..config import load_config
    from ..export import export_backbone

    cfg = load_config(config)
    backbone = cfg.model.detector.backbone if "detector" in cfg.model else cfg.model.backbone
    with DefaultScope.overwrite_default_scope("mmdet"):
        source = folder / "base.safetensors"
        export_backbone(MODELS.build({**backbone, "weights": "random", "adapters": None}), source)
        backbone.weights = str(source)
        model = MODELS.build(cfg.model)
        model.backbone.init_weights()
        return model


def _saver(arm: str, folder: Path):
    """A function of a model that saves as the variant does."""
    from mmengine.logging import MessageHub
    from mmengine.runner.checkpoint import save_checkpoint, weights_to_cpu

    from ..engine.hooks.lean_checkpoint import LeanCheckpointHook
    from ..weights import atomic_files

    hook = None if arm == HOST else LeanCheckpointHook(full=arm == FULL)
    backend = None if arm == HOST else dict(backend=atomic_files.NAME)

    def save(model) -> None:
        checkpoint = dict(
            meta=dict(epoch=1, iter=1),
            state_dict=weights_to_cpu(model.state_dict()),
            message_hub=MessageHub("benchmark").state_dict(),
        )
        if hook is not None:
            hook.before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
        save_checkpoint(checkpoint, str(_path(folder, arm)), backend_args=backend)

    return save


def _path(folder, arm: str) -> Path:
    return Path(folder, f"{arm}.pth")
