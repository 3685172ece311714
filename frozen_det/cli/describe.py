"""Describe a config's model: what trains, strides and channels, FLOPs, memory. Needs neither weights nor data.

frozen-det describe quickstart
frozen-det describe configs/detection/NAME.py --json
"""

from .shared.config_arguments import add_choices, add_config, config_and_options


def add_arguments(parser) -> None:
    add_config(parser)
    add_choices(parser, without=("size", "patience"))
    parser.add_argument("--json", action="store_true", help="machine-readable, one object on standard output")
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="PX", help="input height and width (default: the training pipeline's)"
    )


def run(args) -> int:
    import contextlib
    import json
    import sys

    from ..config import find_config
    from ..errors import InputError
    from ..reports.describe import describe

    if args.size and len(args.size) > 2:
        raise InputError(f"expected one or two numbers after --size, got {args.size}.")
    # mmengine prints to stdout while a model is built; with --json stdout is for the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        config, options = config_and_options(args)
        description = describe(config, (args.size * 2)[:2] if args.size else None, options)
    if args.json:
        print(json.dumps(description.to_dict()))
    else:
        print(_table(find_config(config), description))
    return 0


def _table(path, d) -> str:
    width = max(len(row.name) for row in d.parts) + 2
    lines = [f"{path}", "", f"{'part':<{width}}{'params M':>10}{'trains M':>10}{'norms':>8}{'GFLOPs':>10}"]
    for row in d.parts:
        lines.append(
            f"{row.name:<{width}}{row.params / 1e6:>10.3f}{row.trainable / 1e6:>10.3f}{row.norm:>8}"
            f"{row.flops / 1e9:>10.2f}"
        )
    lines += ["", "backbone  " + ", ".join(f"stride {v['stride']}: {v['channels']} ch" for v in d.levels)]
    if d.neck_levels:
        lines.append("neck      " + ", ".join(f"stride {v['stride']}: {v['channels']} ch" for v in d.neck_levels))
    lines += [
        f"parameters {d.total_params / 1e6:.2f} M, trained {d.trainable_params / 1e6:.2f} M "
        f"({100 * d.trainable_share:.1f} %), frozen {d.frozen_params / 1e6:.2f} M",
        f"one image of {d.size_hw[0]} x {d.size_hw[1]}: forward {_work(d.forward_flops, d.num_rois_inference)}, "
        f"training step {_work(d.training_step_flops, d.num_rois_training)}",
        *(
            [f"did not run, since they wait for objects, and are not in the FLOPs: {', '.join(d.not_run)}"]
            if d.not_run
            else []
        ),
        f"kept for backward: about {d.bytes_kept_for_backward / 2**20:.0f} MiB an image in float32; weights, "
        f"gradients and two optimiser moments: {(4 * d.total_params + 12 * d.trainable_params) / 2**20:.0f} MiB",
        *([d.cache.words()] if d.cache else []),
    ]
    return "\n".join(lines)


def _work(flops: int, num_rois: int) -> str:
    words = f"{flops / 1e9:.1f} GFLOPs" if flops > 1e10 else f"{flops / 1e9:.3g} GFLOPs"
    return f"{words} ({num_rois} RoIs)" if num_rois else words
