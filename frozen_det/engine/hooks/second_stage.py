"""`frozen_det.SecondStageHook`: what a second stage (``frozen_det.ClassifierStage``) needs of its first, checked first.

Names, shapes and completeness are the model's to check; this hook refuses what only a run can know: no checkpoint
given, other classes or another order of them, or a fine-tuned backbone under a config that calls it frozen.
"""

from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import bias_init_with_prob

from ...errors import InputError
from ...models.detectors.regions import box_heads
from ...models.detectors.second_stage import HOW
from ...registry import HOOKS
from ...weights.whole_checkpoint import unwrapped
from ..runner.run_guard import is_training

FIRST_PROBABILITY = 0.001  # of every class, where each has a sigmoid of its own


@HOOKS.register_module()
class SecondStageHook(Hook):
    """Check the first stage's checkpoint before training, and log what trains.

    Args:
        new_layer: the final layers start anew instead of from the first stage's, whose may then have any shape (a loss
            with other outputs). With class-balanced sampling this is "cRT" of arXiv 1910.09217, section 4. Of a loss
            by sigmoids the layer begins with all probabilities at 0.001, as the authors of EQLv2 have it.

    Raises:
        InputError: see the module's docstring.
    """

    priority = "NORMAL"

    def __init__(self, new_layer: bool = False):
        self.new_layer = new_layer

    def before_run(self, runner) -> None:
        """Refuse training without a first stage, before the model is initialised."""
        if not is_training(runner) or runner._resume:
            return
        given = runner._load_from
        if given is None:
            raise InputError(f"expected the checkpoint of a finished first stage in load_from, got none: {HOW}.")
        if "://" not in str(given) and not Path(given).is_file():
            raise InputError(
                f"expected the checkpoint of a finished first stage in load_from, but {given} does not exist: {HOW}."
            )
        unwrapped(runner.model).new_layer = self.new_layer

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the classes and the backbone with the first stage's, before anything is loaded."""
        if not is_training(runner):
            return
        recorded = ((checkpoint.get("meta") or {}).get("dataset_meta") or {}).get("classes")
        classes = getattr(runner.train_loop.dataloader.dataset, "metainfo", {}).get("classes")
        if recorded is not None and classes is not None:
            refuse_other_classes(list(recorded), list(classes), str(runner._load_from))
        refuse_tuned_base(checkpoint, unwrapped(runner.model), str(runner._load_from))

    def before_train(self, runner) -> None:
        """Say what trains."""
        model = unwrapped(runner.model)
        trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
        anew = self.new_layer and not runner._resume
        if anew:
            for head in box_heads(model.roi_head):
                if getattr(head.loss_cls, "use_sigmoid", False):
                    torch.nn.init.constant_(head.fc_cls.bias, bias_init_with_prob(FIRST_PROBABILITY))
        runner.logger.info(
            f"second stage from {runner._load_from}: {sum(trained.values()):,} parameters train "
            f"{'from new values ' if anew else ''}({', '.join(trained)}); "
            "everything else is frozen, norm statistics too"
        )


def refuse_other_classes(recorded: list[str], classes: list[str], where: str) -> None:
    """Raise InputError unless both lists are the same names in the same order."""
    if recorded == classes:
        return
    if len(recorded) != len(classes):
        difference = f"{len(recorded)} classes instead of {len(classes)}"
    else:
        label = next(i for i, (a, b) in enumerate(zip(recorded, classes)) if a != b)
        difference = f"{recorded[label]!r} as class {label} instead of {classes[label]!r}"
    raise InputError(
        f"expected the first stage's checkpoint {where} to be trained on the classes of this stage's "
        f"training data, got {difference}. Train both stages on the same annotations."
    )


def refuse_tuned_base(checkpoint: dict, model, where: str) -> None:
    """Raise InputError if the file holds other backbone weights than the frozen ones that are loaded.

    A lean checkpoint of this stage would leave them out, and they could not be attached again.
    """
    backbone = getattr(model, "backbone", None)
    if not getattr(backbone, "is_frozen", False) or backbone.source in (None, "random", "checkpoint"):
        return
    state = checkpoint.get("state_dict", checkpoint)
    for name, tensor in backbone.frozen_tensors().items():
        held = state.get(f"backbone.body.{name}")
        if held is not None and held.shape == tensor.shape and not torch.equal(held.cpu(), tensor.cpu()):
            raise InputError(
                f"expected the frozen backbone of {backbone.source} in {where}, but backbone.body.{name} differs: "
                "its first stage was fine-tuned. Use the second stage of the fine-tuned config, or "
                "--cfg-options model.detector.backbone.freeze=False (it stays frozen in this stage anyway)."
            )
