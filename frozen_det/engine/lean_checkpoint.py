"""`frozen_det.LeanCheckpointHook`: checkpoints that hold what was trained, load without pickled objects, never half.

It is mmengine's CheckpointHook with three promises more: a file is whole or absent and the previous one goes only
after it (:mod:`.atomic_files`); log history is plain numbers, so `torch.load(weights_only=True)` reads the file; and,
unless ``full=True``, frozen base weights are left out and replaced by their digest. Loading a lean file attaches the
base through the one door and refuses another base (see :class:`frozen_det.models.FrozenBackbone`).
"""

import dataclasses
import inspect
from pathlib import Path

from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper

from ..errors import InputError, closest
from ..fingerprint import canonical, fingerprint
from ..host_state import plain_message_hub
from ..registry import HOOKS
from ..weights_card import KEY
from . import atomic_files

FORMAT_VERSION = 1


@HOOKS.register_module()
class LeanCheckpointHook(CheckpointHook):
    """Save checkpoints.

    Args:
        full: True writes plain mmdet checkpoints, frozen weights included, which any mmdet tool loads; False leaves
            out what is frozen.
        kwargs: of mmengine's CheckpointHook (`interval`, `by_epoch`, `save_best`, `max_keep_ckpts`, ...).
    """

    def __init__(self, full: bool = False, **kwargs):
        # The parent swallows unknown names (it hands them to torch.save, where they do nothing).
        known = set(inspect.signature(CheckpointHook.__init__).parameters) - {"self", "kwargs"}
        for name in set(kwargs) - known:
            raise InputError(f"LeanCheckpointHook has no argument {name!r} (default_hooks.checkpoint); "
                             f"{closest(name, known)}")
        atomic_files.register()
        kwargs.setdefault("backend_args", dict(backend=atomic_files.NAME))
        super().__init__(**kwargs)
        self.full = full

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Make the checkpoint plain and, unless full, lean. Called last of all hooks (lowest priority)."""
        checkpoint["message_hub"] = plain_message_hub(checkpoint["message_hub"])
        checkpoint["meta"] = plain_meta(checkpoint["meta"])
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if hasattr(model, "weights_card"):
            checkpoint["meta"][KEY] = _card(model, runner, checkpoint["state_dict"])
        if self.full:
            return
        lean = make_lean(model, checkpoint)
        if lean:
            checkpoint["meta"]["lean"] = {"version": FORMAT_VERSION, "modules": lean}

    def after_train(self, runner) -> None:
        """Finish: nothing outdated is left behind."""
        super().after_train(runner)
        atomic_files.remove_outdated()


def _card(model, runner, state: dict) -> str:
    """The card of a classifier's weights as JSON: what they are, what trained them, the digest of what is stored."""
    recipe = Path(runner.cfg.filename).stem if runner.cfg.filename else None
    card = model.weights_card(recipe, evaluation_settings(runner.cfg))
    return dataclasses.replace(card, digest=fingerprint(state).digest).to_json()


def evaluation_settings(cfg) -> dict:
    """`input_size`, `crop_ratio` and `interpolation` that the validation's or test's transforms state."""
    loader = cfg.get("val_dataloader") or cfg.get("test_dataloader") or {}
    steps = (loader.get("dataset") or {}).get("transform") or []
    found = {}
    for step in steps if isinstance(steps, (list, tuple)) else [steps]:
        names = {"size": "input_size", "crop_ratio": "crop_ratio", "interpolation": "interpolation"}
        found.update({name: step[key] for key, name in names.items() if step.get(key) is not None})
    if not isinstance(found.get("input_size", 0), int):
        found["input_size"] = max(found["input_size"])
    return found


def make_lean(model, checkpoint: dict) -> dict:
    """Take the frozen tensors of every frozen backbone out of `state_dict` (and `ema_state_dict`), in place.

    Returns:
        module name -> what stands for them: digest, source, architecture and number of tensors. Empty if the model
        freezes nothing or runs on random weights (there would be nothing to attach again).
    """
    import torch

    described = {}
    for name, part in model.named_modules():
        # Backbones alone: of what else is frozen (a second stage's decoder) there is no file to attach again.
        if not hasattr(part, "frozen_fingerprint") or not part.is_frozen or part.weights == "random":
            continue
        frozen = part.frozen_tensors()
        taken = part.frozen_fingerprint()
        prefix = f"{name}.body." if name else "body."
        for entry in ("state_dict", "ema_state_dict"):
            state = checkpoint.get(entry)
            if state is None:
                continue
            for key in [k for k in state if canonical(k).startswith(prefix)
                        and canonical(k)[len(prefix):] in frozen]:
                del state[key]
        # The digest travels among the weights, so any loader that reaches the module brings it along.
        checkpoint["state_dict"][f"{name}.base_digest"] = torch.tensor(list(bytes.fromhex(taken.digest)),
                                                                       dtype=torch.uint8)
        described[name] = {"digest": taken.digest, "source": str(part.weights), "tensors": len(frozen),
                           "architecture": part.architecture}
    return described


def plain_meta(meta: dict) -> dict:
    """A checkpoint's meta without numpy numbers."""
    from ..host_state import _plain

    return _plain(meta)


def latest_checkpoint(work_dir) -> Path | None:
    """The newest complete `epoch_N.pth` or `iter_N.pth` in a work directory, or None.

    Files are whole or absent, so the highest number is the newest; the `last_checkpoint` pointer, which the host
    writes in place, is not needed.
    """
    best = None
    for path in Path(work_dir).glob("*_*.pth"):
        stem, _, number = path.stem.rpartition("_")
        if stem in ("epoch", "iter") and number.isdigit():
            key = (path.stat().st_mtime_ns, int(number))
            best = max(best or (key, path), (key, path))
    return best[1] if best else None
