"""`frozen_det.NoisyClassifier`: a classifier that learns from labelled and pseudo-labelled images in one batch.

Xie et al., arXiv 1911.04252. Smoothing acts where the released code has it: on labels and hard pseudo-labels, never on
soft ones. Refuses batch mixing, which the source does not have.
"""

from torch import Tensor

from ...errors import InputError, refuse_unknown
from ...registry import MODELS
from ..classifier import ImageClassifier, target_share
from ..losses import spread_targets
from .network_noise import add_drop_block, add_dropout, add_stochastic_depth

KINDS = ("soft", "hard")
WEIGHTINGS = ("sum", "mean")


@MODELS.register_module()
class NoisyClassifier(ImageClassifier):
    """A teacher or a student; on batches without pseudo-labels an ordinary classifier with noise.

    Args:
        pseudo: ``dict(labels='soft' or 'hard', weighting='sum' or 'mean')``; see
            :func:`joint_loss`. A temperature is the data set's.
        noise: ``dict(dropout=0.5, stochastic_depth=0.2, branches='layer*.*.bn2')`` or ``dict(drop_block=0.1,
            block_size=4, branches=...)`` for networks without arguments of their own; see :mod:`.network_noise`. None
            for none.
        others: of :class:`~.classifier.ImageClassifier`.
    """

    def __init__(
        self, backbone: dict, num_classes: int, pseudo: dict | None = None, noise: dict | None = None, **others
    ):
        super().__init__(backbone, num_classes, **others)
        if self.mixing is not None:
            raise InputError(
                "expected no batch mixing with frozen_det.NoisyClassifier, got model.mixing; set mixing=None."
            )
        pseudo = {"labels": "soft", "weighting": "sum", **(pseudo or {})}
        refuse_unknown(pseudo, ("labels", "weighting", "type"), "model.pseudo")
        known = dict(dropout=0.0, stochastic_depth=0.0, drop_block=0.0, block_size=4, branches="layer*.*.bn2")
        refuse_unknown(noise or {}, (*known, "type"), "model.noise")
        noise = known | dict(noise or {})
        if pseudo["labels"] not in KINDS:
            raise InputError(f"expected model.pseudo.labels as one of {list(KINDS)}, got {pseudo['labels']!r}.")
        self.pseudo = pseudo
        if noise["dropout"]:
            add_dropout(self.network, self._built.head_names, noise["dropout"])
        if noise["stochastic_depth"]:
            add_stochastic_depth(self.network, noise["branches"], noise["stochastic_depth"])
        if noise["drop_block"]:
            add_drop_block(self.network, noise["branches"], noise["drop_block"], noise["block_size"])

    def forward(self, inputs: Tensor, data_samples: dict | None = None, mode: str = "tensor"):  # (N, 3, H, W)
        """As :meth:`.classifier.ImageClassifier.forward`.

        Args:
            inputs: (N, 3, H, W) float32, normalised.
            data_samples: with `is_pseudo` (N,) bool, `soft_labels` (N, C) float, or `soft_classes`, `soft_shares` and
                `soft_rest` of :class:`~.joint_batches.JointDataset`, and `label` (N,) in a joint batch.
            mode: ``tensor``, ``loss`` or ``predict``.
        """
        if mode != "loss" or "is_pseudo" not in (data_samples or {}):
            return super().forward(inputs, data_samples, mode)
        return self._joint_losses(self.network(inputs), data_samples)

    def _joint_losses(self, logits: Tensor, samples: dict) -> dict[str, Tensor]:  # (N, C)
        is_pseudo = samples["is_pseudo"].to(logits.device)  # (N,)
        labels = samples["label"]
        own, theirs = logits[~is_pseudo], logits[is_pseudo]
        labelled = self.loss(own, self._smoothed(labels[~is_pseudo]))
        right = target_share(own.detach(), labels[~is_pseudo], labels[~is_pseudo], 1.0)
        if not len(theirs):
            return {"loss": labelled, "top1": right}
        if self.pseudo["labels"] == "hard":
            targets = self._smoothed(labels[is_pseudo])
        elif "soft_classes" in samples:
            top = (samples[key].to(theirs.device)[is_pseudo] for key in ("soft_classes", "soft_shares", "soft_rest"))
            targets = spread_targets(*top, self.num_classes)
        elif "soft_labels" in samples:
            targets = samples["soft_labels"][is_pseudo]
        else:
            raise InputError(
                "expected soft labels of the pseudo-labelled images (model.pseudo.labels='soft'), got hard ones: set "
                "train_dataloader.dataset.pseudo.labels to the same."
            )
        unlabelled = self.loss(theirs, targets.to(theirs.device))
        agreed = target_share(theirs.detach(), labels[is_pseudo], labels[is_pseudo], 1.0)
        # mmengine adds up what is called "loss..."; the parts are shown only.
        loss = joint_loss(labelled, unlabelled, len(theirs) / len(own), self.pseudo["weighting"])
        return {
            "loss": loss,
            "part_labelled": labelled.detach(),
            "part_pseudo": unlabelled.detach(),
            "top1": right,
            "agreement": agreed,
        }

    def _smoothed(self, labels: Tensor) -> Tensor:  # (n,) -> (n, C)
        return self.loss.targets(labels, labels, 1.0, self.num_classes)


def joint_loss(labelled: Tensor, pseudo: Tensor, ratio: float, weighting: str) -> Tensor:
    """One loss out of the means over labelled and pseudo-labelled images (``main.py`` of the released code).

    Args:
        labelled, pseudo: scalars.
        ratio: pseudo-labelled images for each labelled one.
        weighting: "sum": ``labelled + ratio * pseudo`` (released code: the sum over both, divided by the labelled
            batch). "mean": that divided by ``1 + ratio``, the mean over the joint batch, ``1 + ratio`` times smaller.
    """
    if weighting not in WEIGHTINGS:
        raise InputError(f"expected weighting as one of {list(WEIGHTINGS)}, got {weighting!r} (weighting).")
    total = labelled + ratio * pseudo
    return total if weighting == "sum" else total / (1 + ratio)
