"""Convert checkpoints: lean to full, full to lean, or (only with --trust) a pickle that needs code to plain tensors.

    frozen-det convert lean.pth -o full.pth --config quickstart
    frozen-det convert full.pth -o lean.pth --config quickstart
    frozen-det convert --trust old_pickle.pth -o weights.safetensors
"""

from pathlib import Path

from ..errors import InputError


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="file to convert")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="file to write, .pth or .safetensors")
    parser.add_argument("--config", help="config that trained the checkpoint (lean to full, full to lean)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the config")
    parser.add_argument("--to", choices=["lean", "full"], help="what to make (default: the other of the two)")
    parser.add_argument("--trust", action="store_true",
                        help="run the code that the file asks for, in a process of its own; only for files whose "
                             "author you trust")


def run(args) -> int:
    if args.trust:
        return _trusted(args)
    if args.config is None:
        raise InputError("expected --config with the config that trained the checkpoint (lean to full, full to lean), "
                         "or --trust for a pickle that needs code, got neither.")
    import torch

    from ..atomic_write import replacing
    from ..checkpoints import read
    from ..engine.checkpoint_forms import is_lean, to_full, to_lean
    from ..models.frozen_backbone import FrozenBackbone
    from ..models.trained_backbone import backbone_config
    from .config_arguments import config_of

    if Path(args.out).suffix != ".pth":
        raise InputError(f"expected an output file that ends in .pth for a whole checkpoint, got {args.out}. The "
                         "backbone alone is written by `frozen-det export`.")
    cfg = config_of(args)
    checkpoint = read(args.checkpoint)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"expected a checkpoint of a training run in {args.checkpoint}, with the entry `state_dict`.")
    make = args.to or ("full" if is_lean(checkpoint) else "lean")
    backbone = FrozenBackbone(**{k: v for k, v in backbone_config(cfg.model, cfg.filename).items() if k != "type"})
    made = (to_full if make == "full" else to_lean)(checkpoint, backbone, args.checkpoint)
    with replacing(args.out) as partial:
        torch.save(made, partial)
        read(partial)
    before, after = (Path(path).stat().st_size / 2**20 for path in (args.checkpoint, args.out))
    print(f"{args.out}: {make} checkpoint, {after:.1f} MiB (was {before:.1f} MiB), {len(made['state_dict'])} tensors")
    return 0


def _trusted(args) -> int:
    from ..trusted_conversion import convert_trusted

    count = convert_trusted(args.checkpoint, args.out)
    print(f"{args.out}: {count} tensors, readable without running code")
    return 0
