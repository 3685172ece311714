"""Which backbones a sweep takes: of each timm module file the smallest, torchvision's classifiers, mmdet's backbones.

The libraries are requested what they have; only what a constructor cannot do without is written down here.
"""

import inspect
import re
from collections import defaultdict

from torch import nn

from ..models.backbone_sources.build import on_meta

# The smallest of a family is taken up to here: 2 GB of weights in float32.
MOST_MILLIONS_OF_A_FAMILY = 500.0
# Words and numbers in names that distinguish small models of a family from large ones; in order.
_SIZE_WORDS = (
    "zepto",
    "atto",
    "femto",
    "pico",
    "nano",
    "micro",
    "xxxs",
    "xxs",
    "xxtiny",
    "xxt",
    "xs",
    "xt",
    "xtiny",
    "tiny",
    "mini",
    "t",
    "s",
    "small",
    "m",
    "medium",
    "b",
    "base",
)
# Models whose parameters are counted, of each family, in order of those words.
_NUM_COUNTED = 2
_SMALL_RES_LAYER = dict(num_modules=1, num_branches=1, block="BOTTLENECK", num_blocks=(4,), num_channels=(64,))
# What mmdet's constructors require beyond a depth or an architecture, as in its own configs.
_MMDET_OPTIONS = {
    "HRNet": dict(
        extra=dict(
            stage1=_SMALL_RES_LAYER,
            **{
                f"stage{n}": dict(
                    num_modules=modules,
                    num_branches=n,
                    block="BASIC",
                    num_blocks=(4,) * n,
                    num_channels=(18, 36, 72, 144)[:n],
                )
                for n, modules in ((2, 1), (3, 4), (4, 3))
            },
        )
    ),
    "SSDVGG": dict(depth=16),
    "HourglassNet": dict(num_stacks=1),
    "TridentResNet": dict(
        depth=50,
        num_branch=3,
        test_branch_idx=1,
        trident_dilations=(1, 2, 3),
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
    ),
}


def timm_models(family: str) -> list[str]:
    """Names of the models in a module file of timm, the likely smallest first; its test models only where alone."""
    import timm

    names = sorted(timm.list_models(module=family), key=_by_size_words)
    return [name for name in names if not name.startswith("test_")] or names


def torchvision_families() -> dict[str, list[str]]:
    """Names of torchvision's classification models by module file."""
    import torchvision

    families = defaultdict(list)
    for name in torchvision.models.list_models(module=torchvision.models):
        families[torchvision.models.get_model_builder(name).__module__.rsplit(".", 1)[-1]].append(name)
    return dict(families)


def mmdet_types() -> list[str]:
    """Types of the backbones that mmdet exports."""
    import mmdet.models.backbones

    return sorted(mmdet.models.backbones.__all__)


def bodies_of_family(library: str, family: str, cap: float) -> list[tuple[str, dict | None, float | None]]:
    """What a sweep runs of a family.

    Args:
        library: timm, torchvision or mmdet.
        family: one of the names above.
        cap: millions of parameters of torchvision's models; the smallest of a family is always taken, up to
            :data:`MOST_MILLIONS_OF_A_FAMILY`.

    Returns:
        name, config of the backbone (None where it is too large) and millions of parameters (None where not counted).
    """
    if library == "mmdet":
        import mmdet.models.backbones

        options = _mmdet_options(getattr(mmdet.models.backbones, family))
        name = family + "".join(f" {options[key]}" for key in ("depth", "arch") if key in options)
        return [(name, dict(type=family, **options), None)]
    if library == "timm":
        import timm

        name, millions = smallest_of(timm_models(family), timm.create_model)
        return [(name, dict(type="timm", name=name) if millions <= MOST_MILLIONS_OF_A_FAMILY else None, millions)]
    import torchvision

    counted = {
        name: millions_of(lambda name=name: torchvision.models.get_model(name, weights=None))
        for name in torchvision_families()[family]
    }
    smallest = min(counted, key=counted.get)
    return [
        (
            name,
            dict(type="torchvision", name=name)
            if millions <= (MOST_MILLIONS_OF_A_FAMILY if name == smallest else cap)
            else None,
            millions,
        )
        for name, millions in counted.items()
    ]


def smallest_of(names: list[str], build, num_counted: int = _NUM_COUNTED) -> tuple[str, float]:
    """Name and millions of parameters of the smallest of the first `num_counted` models, counted on meta tensors.

    Args:
        names: of models.
        build: name -> module.
        num_counted: how many are looked at.
    """
    millions = {name: millions_of(lambda name=name: build(name)) for name in names[:num_counted]}
    name = min(millions, key=millions.get)
    return name, millions[name]


def millions_of(build) -> float:
    """Millions of parameters of what `build()` makes, on meta tensors where it can."""
    module: nn.Module = on_meta(build)[0]
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def _by_size_words(name: str):
    parts = re.findall(r"[a-z]+|\d+", name)
    ranks = [_SIZE_WORDS.index(part) for part in parts if part in _SIZE_WORDS]
    numbers = [int(part) for part in parts if part.isdigit()]
    return min(ranks, default=len(_SIZE_WORDS)), numbers[:1], len(name), name


def _mmdet_options(kind: type) -> dict:
    parameters = {}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            own = inspect.signature(base.__init__).parameters
            parameters = {**own, **parameters}
            if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in own.values()):
                break  # else keys that it does not name pass to the next class
    options = dict(_MMDET_OPTIONS.get(kind.__name__, {}))
    for key in ("depth", "arch"):
        if key not in options and key in parameters and parameters[key].default is inspect.Parameter.empty:
            options[key] = min(
                kind.arch_settings,
                key=lambda value: millions_of(lambda: kind(**options, **{key: value})),  # noqa: B023
            )
    return options
