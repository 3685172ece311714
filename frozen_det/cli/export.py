"""Export the backbone of a trained detector, with its weights card; read back and compared before it counts.

    frozen-det export quickstart work_dirs/quickstart/epoch_10.pth -o backbone.safetensors
"""

from .config_arguments import add_config, config_of


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", help="checkpoint that the config trained, lean or full")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="what to write: .safetensors or .pth")


def run(args) -> int:
    from ..export import export_backbone
    from ..models.trained_backbone import trained_backbone

    cfg = config_of(args)
    backbone = trained_backbone(cfg.model, args.checkpoint, cfg.filename)
    card = export_backbone(backbone, args.out)
    print(f"{args.out}: {card.architecture}, strides {list(card.strides)}, channels {list(card.channels)}, "
          f"sha256 {card.digest[:12]}, read back and equal bit for bit")
    return 0
