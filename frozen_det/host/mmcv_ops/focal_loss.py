"""mmcv's focal losses (Lin et al., ICCV 2017) and their gradients, in plain tensor arithmetic.

``weight`` is a factor per label, (C,), or empty. The label C, or one below 0, means background in the sigmoid loss
(every class is a negative); one below 0 is an ignored row in the softmax loss. Any other label outside 0..C-1, and one
that ``weight`` has no entry for, is refused; mmcv reads past the end of its arrays there.
"""

import torch

from ...errors import InputError
from .precision import wide

_TINY = 1.1754943508222875e-38  # FLT_MIN: the smallest probability whose logarithm is taken, in every dtype


def sigmoid_focal_loss_forward(input, target, weight, output, gamma, alpha):
    """Fill ``output`` (N, C) with the loss of logits ``input`` (N, C) for labels ``target`` (N,)."""
    _refuse_labels_above(input.shape[1], target)
    p, hit = wide(input).sigmoid(), _one_hot(input, target)
    positive = -alpha * (1 - p) ** gamma * p.clamp(min=_TINY).log()
    negative = -(1 - alpha) * p**gamma * (1 - p).clamp(min=_TINY).log()
    output.copy_(torch.where(hit, positive, negative) * _row_weights(weight, target, p))


def sigmoid_focal_loss_backward(input, target, weight, grad_input, gamma, alpha):
    """Fill ``grad_input`` (N, C) with the derivative of each loss by its logit."""
    p, hit = wide(input).sigmoid(), _one_hot(input, target)
    positive = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * p.clamp(min=_TINY).log())
    negative = -(1 - alpha) * p**gamma * (gamma * (1 - p) * (1 - p).clamp(min=_TINY).log() - p)
    grad_input.copy_(torch.where(hit, positive, negative) * _row_weights(weight, target, p))


def softmax_focal_loss_forward(softmax, target, weight, output, gamma, alpha):
    """Fill ``output`` (N,) with the loss of probabilities ``softmax`` (N, C) for labels ``target`` (N,)."""
    p = _probability_of_label(softmax, target)
    loss = -alpha * (1 - p) ** gamma * p.clamp(min=_TINY).log()
    output.copy_(torch.where(target >= 0, loss * _row_weights(weight, target.clamp(min=0), p)[:, 0], 0))


def softmax_focal_loss_backward(softmax, target, weight, buff, grad_input, gamma, alpha):
    """Fill ``grad_input`` (N, C) with the derivative by the logits behind ``softmax``; ``buff`` (N,) is scratch."""
    p = _probability_of_label(softmax, target)
    # (1-p)^(gamma-1) log p has the limit 0 at p = 1, where its first factor can be infinite.
    steep = torch.where(p < 1, (1 - p) ** (gamma - 1) * p * p.clamp(min=_TINY).log(), 0)
    slope = alpha * (gamma * steep - (1 - p) ** gamma) * _row_weights(weight, target.clamp(min=0), p)[:, 0]
    buff.copy_(torch.where(target >= 0, slope, 0))
    grad_input.copy_(buff[:, None].to(p.dtype) * (_one_hot(softmax, target).to(p.dtype) - wide(softmax)))


def _one_hot(logits, target):
    """(N, C) bool: whether a column is its row's label."""
    return target[:, None] == torch.arange(logits.shape[1], device=logits.device)


def _probability_of_label(softmax, target):
    """(N,): the probability of each row's label; of class 0 where the row is ignored."""
    _refuse_labels_above(softmax.shape[1] - 1, target)
    return wide(softmax).gather(1, target.clamp(min=0)[:, None])[:, 0]


def _row_weights(weight, target, like):
    """(N, 1) factors of the rows' labels, in the dtype of ``like``; ones without weights."""
    if not weight.numel():
        return like.new_ones(len(target), 1)
    _refuse_labels_above(len(weight) - 1, target)
    if len(target) and not target.is_meta and int(target.min()) < 0:
        raise InputError(
            f"focal loss with class weights: a label is {int(target.min())}, and there is no weight "
            "for it. Give labels from 0 on, or no weights."
        )
    return weight.to(like.dtype)[target][:, None]


def _refuse_labels_above(last: int, target) -> None:
    if len(target) and not target.is_meta and int(target.max()) > last:
        raise InputError(
            f"focal loss: a label is {int(target.max())}, but the last possible one is {last}. The "
            "background's (the number of classes) exists only in the sigmoid loss without weights."
        )


OPERATORS = {
    function.__name__: function
    for function in (
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        softmax_focal_loss_forward,
        softmax_focal_loss_backward,
    )
}
