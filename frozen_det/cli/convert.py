"""Convert checkpoints: lean to full, full to lean, with other class names, a final layer that favours rare classes, or
(only with --trust) a pickle with code.

frozen-det convert lean.pth -o full.pth --config quickstart
frozen-det convert full.pth -o lean.pth --config quickstart
frozen-det convert foreign.pth -o named.pth --classes-from my/data/annotations/train.json
frozen-det convert detector.pth -o rescaled.pth --tau-norm 0.7
frozen-det convert --trust old_pickle.pth -o weights.safetensors
"""

from pathlib import Path

from ..errors import InputError
from .shared.config_arguments import add_cfg_options, config_of


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="file to convert")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="file to write, .pth or .safetensors")
    parser.add_argument("--config", help="config that trained the checkpoint (lean to full, full to lean)")
    add_cfg_options(parser, "overrides of the config")
    parser.add_argument("--to", choices=["lean", "full"], help="what to make (default: the other of the two)")
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--classes-from",
        metavar="JSON",
        help="annotation file (COCO json) of the data it was trained on: its categories, in their "
        "order, become the checkpoint's class names",
    )
    one.add_argument(
        "--tau-norm",
        type=float,
        metavar="TAU",
        help="rescale a two-stage detector's final classification layer by the norms of its classes to this power "
        "(0 to 1), for rare classes; see docs/long_tail.md",
    )
    one.add_argument(
        "--trust",
        action="store_true",
        help="run the code that the file needs, in a separate process; only for files whose author you trust",
    )


def run(args) -> int:
    if args.trust:
        return _trusted(args)
    if args.classes_from is not None:
        return _named(args)
    if args.tau_norm is not None:
        return _rescaled(args)
    if args.config is None:
        raise InputError(
            "expected --config with the config that trained the checkpoint (lean to full, full to lean), "
            "--classes-from for its class names, --tau-norm for its final layer, or --trust for a pickle that needs "
            "code, got none."
        )
    from ..models.backbones.frozen_backbone import FrozenBackbone
    from ..models.detectors.trained_backbone import backbone_config
    from ..weights.lean import is_lean, to_full, to_lean

    cfg = config_of(args)
    checkpoint = _checkpoint(args)
    make = args.to or ("full" if is_lean(checkpoint) else "lean")
    backbone = FrozenBackbone(**{k: v for k, v in backbone_config(cfg.model, cfg.filename).items() if k != "type"})
    made = (to_full if make == "full" else to_lean)(checkpoint, backbone, args.checkpoint)
    _write(made, args.out)
    before, after = (Path(path).stat().st_size / 2**20 for path in (args.checkpoint, args.out))
    print(f"{args.out}: {make} checkpoint, {after:.1f} MiB (was {before:.1f} MiB), {len(made['state_dict'])} tensors")
    return 0


def _checkpoint(args) -> dict:
    """The checkpoint of a training run, once it is clear that it can be written."""
    from ..weights.loading import read
    from ..weights.mmengine_checkpoints import host_message_hub, plain_message_hub

    if Path(args.out).suffix != ".pth":
        raise InputError(
            f"expected an output file that ends in .pth for a whole checkpoint, got {args.out}. The "
            "backbone alone is written by `frozen-det export`."
        )
    checkpoint = read(args.checkpoint)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise InputError(f"expected a checkpoint of a training run in {args.checkpoint}, with the entry `state_dict`.")
    hub = checkpoint.get("message_hub")
    if isinstance(hub, dict) and "log_scalars" in hub:  # a stock checkpoint's log buffers become plain numbers
        checkpoint["message_hub"] = plain_message_hub(host_message_hub({"runtime_info": {}, "resumed_keys": {}, **hub}))
    return _without_objects(checkpoint)


def _without_objects(value):
    """The same containers without objects that were not read; they cannot be written either."""
    from ..weights.reading.safe_pickle import Inert

    if isinstance(value, dict):
        return type(value)((k, _without_objects(v)) for k, v in value.items() if not isinstance(v, Inert))
    if type(value) in (list, tuple):
        return type(value)(_without_objects(v) for v in value if not isinstance(v, Inert))
    return value


def _write(made: dict, out: str) -> None:
    import torch

    from ..weights.atomic_write import replacing
    from ..weights.loading import read

    with replacing(out) as partial:
        torch.save(made, partial)
        read(partial)


def _named(args) -> int:
    """Write the class names and category ids of the training data into a checkpoint; only their number is checked."""
    from ..datasets.readers.annotation_check import read_class_ids
    from ..weights.class_names import CATEGORY_IDS, LABEL_CLASSES, shown, stated_classes

    checkpoint, ids = _checkpoint(args), read_class_ids(args.classes_from)
    classes = tuple(ids)
    known = stated_classes(checkpoint, args.checkpoint)
    if known is not None and len(known) != len(classes):
        raise InputError(
            f"expected the {len(known)} classes of {args.checkpoint} ({shown(known)}) under other names "
            f"in {args.classes_from}, got {len(classes)} ({shown(classes)})."
        )
    meta = checkpoint.get("meta") if isinstance(checkpoint.get("meta"), dict) else {}
    dataset = meta.get("dataset_meta") if isinstance(meta.get("dataset_meta"), dict) else {}
    named = {LABEL_CLASSES: list(classes), CATEGORY_IDS: list(ids.values())}
    checkpoint["meta"] = {**meta, **named, "dataset_meta": {**dataset, "classes": classes}}
    _write(checkpoint, args.out)
    print(f"{args.out}: the labels are {shown(classes)} (were {shown(known) if known else 'without names'})")
    return 0


def _rescaled(args) -> int:
    from ..weights.tau_norm import tau_normalise
    from ..weights.thresholds import KEY

    checkpoint = _checkpoint(args)
    count = tau_normalise(checkpoint["state_dict"], args.tau_norm, args.checkpoint)
    if isinstance(checkpoint.get("meta"), dict):
        checkpoint["meta"].pop(KEY, None)  # measured on other weights
    _write(checkpoint, args.out)
    print(f"{args.out}: {count} final layer{'s' if count > 1 else ''} rescaled by tau-normalisation, {args.tau_norm:g}")
    return 0


def _trusted(args) -> int:
    from ..weights.unsafe_pickle import convert_trusted

    count = convert_trusted(args.checkpoint, args.out)
    print(f"{args.out}: {count} tensors, readable without running code")
    return 0
