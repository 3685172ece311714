"""`frozen_det.ExtendsHook`: proves that a detector that others extend stays as it is while a new member is trained.

Its checkpoint is read before the first step and after the last: the frozen base must be that of the new member, the
decoder must not change. Each checkpoint of the new member says what it extends (:mod:`frozen_det.weights.extends`).
"""

from mmengine.hooks import Hook

from ...errors import InputError
from ...models.backbones.finding import frozen_backbones
from ...registry import HOOKS
from ...weights.class_names import stated_classes
from ...weights.extends import KEY, Extended
from ...weights.loading import read, state_dict_of
from ...weights.whole_checkpoint import unwrapped


@HOOKS.register_module()
class ExtendsHook(Hook):
    """Watch a detector's checkpoint.

    Args:
        checkpoint: file of the detector that is extended, lean or full.

    Raises:
        InputError: it stands on another frozen base or on none, or its decoder changed during the training.
    """

    priority = "LOW"  # before the checkpoint hook

    def __init__(self, checkpoint: str):
        self.checkpoint = str(checkpoint)
        self.extended: Extended | None = None

    def before_train(self, runner) -> None:
        """Take the digests, and compare the base with the model's."""
        self.extended, backbones = self._read(runner), frozen_backbones(unwrapped(runner.model))
        if not any(part.is_frozen for part in backbones.values()):
            raise InputError(
                f"expected a detector on a frozen backbone in {self.checkpoint}, got one in which nothing is frozen "
                "(model.detector.backbone.freeze): there is nothing that two members could share."
            )
        for name, part in backbones.items():
            mine = part.frozen_fingerprint().digest
            if self.extended.base[name] != mine:
                raise InputError(
                    f"expected the frozen base of {self.checkpoint}, sha256 {self.extended.base[name][:12]}, in {name} "
                    f"of the new member, got {mine[:12]}. Keep the backbone's config and weights as they were."
                )
        runner.logger.info(f"extends {self.checkpoint}, decoder sha256 {self.extended.decoder.digest[:12]} (start)")

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write what is extended into the checkpoint."""
        if self.extended is not None:
            checkpoint["meta"][KEY] = self.extended.to_meta()

    def after_train(self, runner) -> None:
        """Compare the file with what it was."""
        assert self.extended is not None
        moved = self.extended.decoder.first_difference(self._read(runner).decoder)
        if moved is not None:
            raise InputError(
                f"expected {self.checkpoint} to stay as it is while a member that extends it was trained, but {moved} "
                "has other values now: the file was written by something else. Extend it anew."
            )
        runner.logger.info(f"extends {self.checkpoint}, decoder unchanged after {runner.iter} iterations")

    def _read(self, runner) -> Extended:
        loaded, backbones = read(self.checkpoint), frozen_backbones(unwrapped(runner.model))
        frozen = {name: part.frozen_tensors().keys() for name, part in backbones.items()}
        classes = stated_classes(loaded, self.checkpoint) or ()
        return Extended.of(self.checkpoint, classes, state_dict_of(loaded, self.checkpoint), frozen)
