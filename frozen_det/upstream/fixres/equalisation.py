"""Pooled activations at the test size mapped back to the distribution they have at the training size, nothing trained.

Touvron et al., arXiv 1906.06423: FixRes' parametric adaptation. A larger test image averages more positions, so what
the pooling hands to the classifier is distributed otherwise than in training. The paper fits both distributions by

    P(x, mu, sigma) = exp(-(1 + xi / sigma (x - mu))^(-1 / xi)),    xi = 0.3 for all of them,

and applies the mapping from the new distribution to the old one as an activation function after the pooling. With one
xi both are the same curve, moved and stretched, so the mapping is affine. Two choices are this module's own: the fit is
the least squares of the quantiles, where mu and sigma are linear, and values of exactly zero (channels that a ReLU
kept off everywhere, which no continuous distribution has) take no part in the fit and stay zero.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ...errors import InputError
from ...host.devices import float64_of
from ...registry import MODELS
from ..classifier import ImageClassifier
from .classifier import head_module

XI = 0.3
_PROBABILITIES = torch.arange(1, 100, dtype=torch.float64) / 100


class Frechet(NamedTuple):
    """Place and width of a fitted distribution, in units of the activations; both 0 where all activations are zero."""

    mu: float
    sigma: float


def standard_quantiles(probabilities: Tensor) -> Tensor:
    """Where P(x, 0, 1) reaches each of the `probabilities`, in (0, 1)."""
    return ((-probabilities.log()) ** -XI - 1) / XI


def fit(values: Tensor) -> Frechet:
    """The distribution of the activations other than zero, by the least squares of their percentiles 1 to 99.

    Args:
        values: any shape, at most 16 million.
    """
    values = float64_of(values[values != 0])
    if not len(values):
        return Frechet(0.0, 0.0)
    found, standard = torch.quantile(values, _PROBABILITIES.to(values.device)).cpu(), standard_quantiles(_PROBABILITIES)
    centred = standard - standard.mean()
    sigma = (centred @ found) / (centred @ centred)
    return Frechet(float(found.mean() - sigma * standard.mean()), float(sigma))


@dataclass(frozen=True)
class Equalisation:
    """x -> scale x + shift for every activation other than zero."""

    scale: float
    shift: float

    def __call__(self, values: Tensor) -> Tensor:
        return torch.where(values != 0, self.scale * values + self.shift, values)


def equalisation(new: Frechet, old: Frechet) -> Equalisation:
    """The mapping that takes each quantile of `new` to the same quantile of `old`.

    Raises:
        InputError: activations that do not vary.
    """
    if not new.sigma > 0:
        raise InputError(
            "expected pooled activations that vary over images and channels, got the same everywhere: there is nothing "
            "to map back to the training size. Look at the classifier's weights."
        )
    scale = old.sigma / new.sigma
    return Equalisation(scale, old.mu - scale * new.mu)


def attach(model: ImageClassifier, mapping: Equalisation) -> RemovableHandle:
    """Apply a mapping between pooling and classifier from now on; the handle takes it away again."""
    return head_module(model)[1].register_forward_pre_hook(lambda _, given: (mapping(given[0]), *given[1:]))


@MODELS.register_module()
class EqualisedClassifier(ImageClassifier):
    """A finished classifier that maps its pooled activations before classifying; state-dict keys are unchanged.

    Args:
        equalise: (scale, shift), as ``frozen-det fixres --parametric`` reports them for one test size.
        others: of :class:`ImageClassifier`.

    Raises:
        InputError: not two numbers, or a head of several layers.
    """

    def __init__(self, *args, equalise=None, **others):
        super().__init__(*args, **others)
        if not (isinstance(equalise, list | tuple) and len(equalise) == 2 and all(map(_is_number, equalise))):
            raise InputError(
                f"expected model.equalise as [scale, shift], two finite numbers, got {equalise!r}. frozen-det fixres "
                "--parametric reports both."
            )
        attach(self, Equalisation(*equalise))


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
