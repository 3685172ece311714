"""`frozen_det.ClassifierStage`: train only the final classification layer of a trained two-stage detector.

The second stage of arXiv 2012.07177 (LVIS) and of Table 5 of arXiv 2204.00484: classification loss only, everything
else frozen including norm statistics, no losses for RPN, boxes or masks. It replaces FasterRCNN, MaskRCNN or
CascadeRCNN in a config (with the same state dict keys). Training requires a first-stage checkpoint in which every
tensor fits.
"""

from collections.abc import Callable

import torch
from mmdet.models.detectors import TwoStageDetector
from torch import Tensor, nn

from ...errors import InputError
from ...registry import MODELS
from ...weights.digest import BASE_DIGEST
from .regions import box_heads, caught_regions, regions_in, without_mask_head

HOW = "--cfg-options load_from=work_dirs/STAGE_ONE/epoch_N.pth"


@MODELS.register_module()
class ClassifierStage(TwoStageDetector):
    """Train ``fc_cls`` of the box head, or of every box head of a cascade, and nothing else.

    Everything else has ``requires_grad=False`` and stays in eval mode from construction on. The forward pass up to
    the RoI features runs without autograd; after it only the final layer needs gradients.

    Args:
        Those of mmdet's TwoStageDetector.

    Attributes:
        trained_layers: names of the final layers, e.g. ``('roi_head.bbox_head.fc_cls',)``.
        new_layer: whether loading a checkpoint leaves the final layers as they are, whatever it holds for them.
        keep_regions: called with each batch's regions that were computed; None: they are not kept.

    Raises:
        InputError: a box head without ``fc_cls``; a checkpoint that lacks a tensor or has one of another shape;
            training without a checkpoint.
    """

    def __init__(
        self,
        backbone,
        neck=None,
        rpn_head=None,
        roi_head=None,
        train_cfg=None,
        test_cfg=None,
        data_preprocessor=None,
        init_cfg=None,
    ):
        super().__init__(
            backbone=backbone,
            neck=neck,
            rpn_head=rpn_head,
            roi_head=roi_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.trained_layers = final_layers(self)
        self.stage_one_loaded = self.new_layer = False
        self.keep_regions: Callable[[dict[str, Tensor]], None] | None = None
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(self._is_trained(name))
        self.train(self.training)

    # -- frozen -------------------------------------------------------------------------------------------------

    @property
    def is_frozen(self) -> bool:
        """Always True; read by :class:`frozen_det.engine.FrozenProofHook`."""
        return True

    def frozen_tensors(self) -> dict[str, Tensor]:
        """Entries of the state dict without final layers, counts kept by a loss (Seesaw, EQLv2) and the frozen part
        of the backbone, which is checked separately."""
        proven = self.backbone.frozen_tensors() if getattr(self.backbone, "is_frozen", False) else ()
        left_out = {f"backbone.body.{name}" for name in proven}
        return {
            name: value
            for name, value in self.state_dict().items()
            if name not in left_out and not self._is_trained(name) and not is_loss_state(name)
        }

    def train(self, mode: bool = True):
        """Set the mode of the final layers; everything else stays in eval mode."""
        super().train(False)
        self.training = mode
        for name in getattr(self, "trained_layers", ()):
            self.get_submodule(name).train(mode)
        return self

    def _is_trained(self, name: str) -> bool:
        return name.rpartition(".")[0] in self.trained_layers

    # -- training -----------------------------------------------------------------------------------------------

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Classification losses (and accuracies) of the box head or heads.

        Args:
            batch_inputs: (N, 3, H, W), normalised.
            batch_data_samples: per image ground truth, as mmdet has it.

        Raises:
            InputError: no checkpoint was loaded.
        """
        if not self.stage_one_loaded:
            raise InputError(
                "expected a finished first stage to start from, but no checkpoint was loaded into "
                f"frozen_det.ClassifierStage: give one by {HOW}."
            )
        regions = regions_in(batch_data_samples)
        if regions is None:
            regions = self.regions(batch_inputs, batch_data_samples)
            if self.keep_regions is not None:
                self.keep_regions(regions)
        return self.loss_of_regions(regions)

    @torch.no_grad()
    def regions(self, batch_inputs: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """What the final layers train on, of each box head i: all that the frozen rest of the detector gives them.

        Args:
            batch_inputs, batch_data_samples: see :meth:`loss`.

        Returns:
            ``{i}.features`` (R, D), ``{i}.labels`` (R,) int64 in [0, classes], background last, and
            ``{i}.label_weights`` (R,).
        """
        features = self.extract_feat(batch_inputs)
        proposals = self._proposals(features, batch_data_samples)
        with without_mask_head(self.roi_head), caught_regions(self.roi_head) as regions:
            self.roi_head.loss(features, proposals, batch_data_samples)
        return regions

    def loss_of_regions(self, regions: dict[str, Tensor]) -> dict:
        """Classification losses (and accuracies), with the names and stage weights of the RoI head.

        Args:
            regions: see :meth:`regions`.
        """
        cascade = isinstance(self.roi_head.bbox_head, nn.ModuleList)
        losses = {}
        for number, head in enumerate(box_heads(self.roi_head)):
            features = regions.get(f"{number}.features")
            if features is None or not len(features):
                # Nothing to learn from, as where mmdet's cascade ran out of regions; a gradient on every process.
                found = {"loss_cls": 0.0 * torch.stack([p.sum() for p in head.fc_cls.parameters()]).sum()}
            else:
                found = head.loss(
                    head.fc_cls(features),
                    None,
                    None,
                    regions[f"{number}.labels"],
                    regions[f"{number}.label_weights"],
                    None,
                    None,
                )
            for name, value in found.items():
                if "loss" in name and cascade:
                    value = value * self.roi_head.stage_loss_weights[number]
                losses[f"s{number}.{name}" if cascade else name] = value
        return losses

    def _proposals(self, features, batch_data_samples) -> list:
        """Regions as in training of the first stage, without the RPN's losses."""
        if not self.with_rpn:
            return [sample.proposals for sample in batch_data_samples]
        wanted = self.train_cfg.get("rpn_proposal", self.test_cfg.rpn)
        return self.rpn_head.predict_by_feat(
            *self.rpn_head(features), cfg=wanted, batch_img_metas=[sample.metainfo for sample in batch_data_samples]
        )

    # -- the first stage ----------------------------------------------------------------------------------------

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Check a checkpoint, strict or not: it holds the whole detector, or nothing is loaded."""
        own = self.state_dict()
        if self.new_layer:
            state_dict.update({f"{prefix}{name}": value for name, value in own.items() if self._is_trained(name)})
        refuse_misfit(
            {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}, own
        )
        self.stage_one_loaded = True
        super()._load_from_state_dict(state_dict, prefix, *args)


def final_layers(model: TwoStageDetector) -> tuple[str, ...]:
    """Names of the final classification layers of a two-stage detector's box heads.

    Raises:
        InputError: no box head, or one without ``fc_cls``.
    """
    heads = getattr(getattr(model, "roi_head", None), "bbox_head", None)
    if heads is None:
        raise InputError(
            "expected a detector with roi_head.bbox_head in frozen_det.ClassifierStage, got none: the "
            "second stage trains the box head's final layer."
        )
    names = (
        [f"roi_head.bbox_head.{i}" for i in range(len(heads))]
        if isinstance(heads, nn.ModuleList)
        else ["roi_head.bbox_head"]
    )
    for name in names:
        if not isinstance(getattr(model.get_submodule(name), "fc_cls", None), nn.Module):
            raise InputError(
                f"expected a final classification layer fc_cls in {name}, got "
                f"{type(model.get_submodule(name)).__name__} without one (model.roi_head.bbox_head)."
            )
    return tuple(f"{name}.fc_cls" for name in names)


def is_loss_state(name: str) -> bool:
    """Whether a state-dict entry is a count that a loss keeps (SeesawLoss, EQLV2Loss)."""
    return ".loss_cls." in name


def refuse_misfit(state: dict, wanted: dict) -> None:
    """Check that a checkpoint holds every tensor of the model, in its shape.

    The frozen base omitted by a lean checkpoint (the backbone checks its digest) and counts kept by a loss are ignored.

    Raises:
        InputError: a tensor is missing or has another shape; the message names the first one and a likely reason.
    """
    lean = f"backbone.{BASE_DIGEST}" in state
    missing, reshaped = [], []
    for name, tensor in wanted.items():
        if is_loss_state(name) or name.endswith("num_batches_tracked"):  # old files lack these counts
            continue
        if name.startswith("backbone.body."):
            plain = "backbone." + name.removeprefix("backbone.body.")  # a stock mmdet checkpoint's name
            found = state.get(name, state.get(plain))
            if found is None and lean:
                continue
        else:
            found = state.get(name)
        if found is None:
            missing.append(name)
        elif found.shape != tensor.shape:
            reshaped.append((name, found))
    if not missing and not reshaped:
        return
    classes = next((pair for pair in reshaped if ".fc_cls." in pair[0]), None)
    if classes is not None:
        name, found = classes
        detail = (
            f"{name} has {len(found)} outputs in the file, {len(wanted[name])} in the model: another number of "
            "classes (or another kind of classification loss). Set model.num_classes to the first stage's, or "
            "default_hooks.second_stage.new_layer=True for a layer that starts anew"
        )
    elif missing:
        detail = f"{missing[0]} is missing. Give the checkpoint that the first stage's config wrote"
    else:
        name, found = reshaped[0]
        detail = (
            f"{name} is {tuple(found.shape)} in the file, {tuple(wanted[name].shape)} in the model. Give the "
            "checkpoint that the first stage's config wrote"
        )
    raise InputError(
        f"the checkpoint (load_from) does not fit this second stage: {len(missing)} of {len(wanted)} "
        f"tensors missing, {len(reshaped)} of another shape; {detail}."
    )
