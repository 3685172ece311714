"""Write a small config of your own: a base, what the arguments set, and as comments what the base has.

frozen-det new my.py
frozen-det new my.py --from custom_coco --data my/data --epochs 30 --backbone timm/convnext_tiny.fb_in22k
frozen-det new my.py --from custom --data my/data --detector dino
frozen-det train my.py
"""

from .shared.config_arguments import add_cfg_options, add_choices, config_and_options


def add_arguments(parser) -> None:
    parser.add_argument("out", metavar="FILE", help="the new config, as my.py; a file that is there is refused")
    parser.add_argument(
        "--from",
        dest="config",
        default="custom_coco",
        metavar="CONFIG",
        help="its base: a config file, or the name of one that ships (default: %(default)s)",
    )
    add_choices(parser)
    add_cfg_options(parser)


def run(args) -> int:
    from ..engine.choices.own_config import write_own_config
    from .shared.program import program

    config, options = config_and_options(args)
    path = write_own_config(args.out, config, options)
    print(f"{path}\nnext   {program()} train {path}")
    return 0
