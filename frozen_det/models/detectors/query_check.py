"""Detectors that take the best positions of their feature maps as queries need as many positions as queries.

mmdet's Deformable DETR with two stages, DINO and Grounding DINO end in an error of torch.topk on small images; here it
says what was expected. DDQ DETR, which pads, is left alone.
"""

from functools import partial

from torch import Tensor, nn

from ...errors import InputError


def check_positions(model: nn.Module) -> nn.Module:
    """Let a detector with queries from its encoder refuse images that have fewer positions than it has queries.

    Args:
        model: any detector; of one that wraps another, both are looked at.

    Returns:
        the model.
    """
    from mmdet.models.detectors import DDQDETR, DeformableDETR

    for one in (model, getattr(model, "student", None), getattr(model, "teacher", None)):
        if isinstance(one, DeformableDETR) and one.as_two_stage and not isinstance(one, DDQDETR):
            one.encoder.register_forward_hook(partial(_check, one.num_queries, type(one).__name__))
    return model


def _check(num_queries: int, name: str, encoder: nn.Module, args: tuple, output) -> None:
    memory: Tensor = output[0] if isinstance(output, tuple) else output  # Grounding DINO's has the text beside
    if memory.shape[1] < num_queries:
        raise InputError(
            f"expected images with at least as many positions on all feature maps of {name} as it has queries, "
            f"{num_queries} (model.detector.num_queries), got {memory.shape[1]}. Take larger images, as --size "
            "with train, or set model.detector.num_queries."
        )
