"""What a two-stage detector's final layers see of a batch: caught on its way, and as a batch of its own.

A batch of stored regions holds no image; one sample carries them. Wrappers and autocast treat it like any other batch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

_FIELD = "regions"


def box_heads(roi_head: nn.Module) -> list[nn.Module]:
    """The box heads of a RoI head, in a cascade by stage."""
    heads = roi_head.bbox_head
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


@contextmanager
def caught_regions(roi_head: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within this context a run of the RoI head's ``loss`` fills the yielded dictionary and computes no loss.

    Its entries are described at :meth:`frozen_det.models.detectors.second_stage.ClassifierStage.regions`.
    """
    found: dict[str, Tensor] = {}
    heads, handles = box_heads(roi_head), []

    def catch(number: int, head: nn.Module) -> None:
        def features(layer, args) -> None:
            found[f"{number}.features"] = args[0]

        def loss(cls_score, bbox_pred, rois, labels, label_weights, *targets, **options) -> dict:
            found[f"{number}.labels"], found[f"{number}.label_weights"] = labels, label_weights
            return {}

        handles.append(head.fc_cls.register_forward_pre_hook(features))
        head.loss = loss  # of the instance; the class's comes back when it is deleted

    try:
        for number, head in enumerate(heads):
            catch(number, head)
        yield found
    finally:
        for handle in handles:
            handle.remove()
        for head in heads:
            head.__dict__.pop("loss", None)


@contextmanager
def without_mask_head(roi_head: nn.Module) -> Iterator[None]:
    """Within this context `roi_head` has no mask head, so that its ``loss`` computes no masks."""
    held = roi_head._modules.get("mask_head")
    if held is None:
        yield
        return
    roi_head._modules["mask_head"] = None
    try:
        yield
    finally:
        roi_head._modules["mask_head"] = held


def batch_of_regions(regions: Mapping[str, Tensor]) -> dict:
    """A batch as a data loader gives it that carries regions and no image.

    Args:
        regions: see :meth:`frozen_det.models.detectors.second_stage.ClassifierStage.regions`.
    """
    sample = DetDataSample()
    sample.set_data({_FIELD: BaseDataElement(**regions)})
    return dict(inputs=[], data_samples=[sample])


def regions_in(batch_data_samples: list) -> dict[str, Tensor] | None:
    """The regions that a batch carries; None if it holds images."""
    held = batch_data_samples[0].get(_FIELD) if batch_data_samples else None
    return None if held is None else dict(held.items())


def let_regions_pass(preprocessor: nn.Module) -> None:
    """Let a data preprocessor move batches of regions to its device and do nothing else to them.

    Args:
        preprocessor: changed in place; batches of images pass as before.
    """
    images = preprocessor.forward

    def forward(data: dict, training: bool = False) -> dict:
        if regions_in(data["data_samples"]) is None:
            return images(data, training)
        return preprocessor.cast_data(data)

    preprocessor.forward = forward
