"""`frozen_det.FrozenProofHook`: proves at every checkpoint, validation and the end that nothing frozen moved.

A digest is taken where weights are loaded, compared when training starts, and bit by bit from then on, the last time
after every other hook; it is written into each checkpoint's meta and into ``frozen_proof.json`` beside the log. A
tensor that moved, a setting of a frozen module that changed (an epsilon, a stride, its ``forward``) or a table that no
file holds stops the run with its name, before a checkpoint with it is written. Forward hooks on a frozen backbone are
named: they may only look.
"""

import logging
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.logging import print_log

from ...errors import InputError, closest
from ...registry import HOOKS
from ...weights.atomic_write import write_json
from ...weights.digest import Fingerprint, canonical, fingerprint
from ...weights.lean import refuse_moved
from ...weights.whole_checkpoint import unwrapped
from ..runner.run_check import check_run

META_KEY = "frozen"
REST = "the rest of the model"  # what a model as a whole proves, beside its frozen backbone


@HOOKS.register_module()
class FrozenProofHook(Hook):
    """Watch frozen modules.

    Args:
        modules: names of modules to watch, e.g. ``['backbone']`` or ``['neck.lateral_convs']``: of a
            ``FrozenBackbone`` its frozen part, of any other module every parameter and buffer. None watches every
            ``FrozenBackbone`` of the model that freezes something, and in a ``ClassifierStage`` all but its final
            layers ('the rest of the model').

    Raises:
        InputError: a name the model does not have, or something frozen that changed.
    """

    # After the hooks that change the model (averaging), before the checkpoint hook (VERY_LOW) writes a file.
    priority = "LOW"

    def __init__(self, modules: list[str] | None = None):
        self.modules = modules
        self.start: dict[str, Fingerprint] = {}
        self.checks: list[dict] = []
        self._recorded: dict[str, dict] = {}
        self._named_hooks: set[str] = set()

    # -- the host's calls, in the order they come ---------------------------------------------------------------

    def before_run(self, runner) -> None:
        """Check what can be checked only now of the run's config."""
        check_run(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember what the checkpoint says its frozen tensors were."""
        self._recorded = dict((checkpoint.get("meta") or {}).get(META_KEY) or {})

    def before_train(self, runner) -> None:
        """Compare with what was loaded, and take the digests everything later is compared with."""
        for name, part in self._bodies(runner):
            refuse_moved(name, part, "before training began")
            self._refuse_changes(name, part, "before training began")
        self.rebase(runner, "start")
        # After every hook there is, whatever its priority.
        runner.hooks[:] = [hook for hook in runner.hooks if not isinstance(hook, _LastCheck)] + [_LastCheck(self)]

    def before_test(self, runner) -> None:
        """Compare the loaded model with what its checkpoint recorded."""
        self._compare_with_checkpoint(self._watched(runner))

    def before_val_epoch(self, runner) -> None:
        """Check before each validation."""
        self.check(runner, "validation")

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check before each checkpoint, and write the digests into it."""
        self.check(runner, "checkpoint")
        checkpoint["meta"][META_KEY] = {
            name: {"digest": taken.digest, "tensors": dict(taken.tensors)} for name, taken in self.start.items()
        }

    def finish(self, runner) -> None:
        """Check at the end, after all other hooks, and say so in one line."""
        self.check(runner, "end")
        for line in self._lines(runner):
            runner.logger.info(f"frozen proof: {line}, unchanged after {runner.iter} iterations")

    # -- the proof ----------------------------------------------------------------------------------------------

    def rebase(self, runner, reason: str) -> None:
        """Take the digests again because what is frozen changed on purpose (`reason` goes into the record)."""
        watched = self._watched(runner)
        if self._recorded:
            self._compare_with_checkpoint(watched)
        self.start = {name: fingerprint(tensors) for name, tensors in watched.items()}
        for line in self._lines(runner):
            runner.logger.info(f"frozen proof: {line} ({reason})")
        self._note(runner, reason)

    def check(self, runner, when: str) -> None:
        """Compare now; raise with the first tensor that moved.

        Raises:
            InputError: a frozen tensor differs from the start.
        """
        if not self.start and runner.iter == 0:
            return  # validation alone, without training: nothing could have moved
        for name, part in self._bodies(runner):
            self._refuse_changes(name, part, f"between the start and iteration {runner.iter} ({when})")
        for name, tensors in self._watched(runner).items():
            moved = self.start[name].first_difference(fingerprint(tensors)) if name in self.start else None
            if moved is not None:
                full_name = f"{name}.{moved}" if name else moved
                self._note(runner, when, moved=full_name)
                raise InputError(
                    f"frozen tensor {full_name} moved between the start and iteration {runner.iter} ({when}). "
                    "Expected it bit for bit as loaded. Something trains or overwrites it: look for hooks, "
                    "optimisers or code that touch this module, or take it off the frozen list."
                )
        self._note(runner, when)

    def check_file(self, runner, checkpoint: dict) -> None:
        """Compare what is about to be written: hooks after this one may have changed it.

        Raises:
            InputError: a frozen tensor in the checkpoint is not the model's.
        """
        for name, taken in self.start.items():
            body = hasattr(dict(unwrapped(runner.model).named_modules())[name], "body")
            prefix = ".".join(filter(None, [name, "body" if body else ""]))
            held = {
                key[len(prefix) + 1 :] if prefix else key: value
                for key, value in checkpoint["state_dict"].items()
                if not prefix or key.startswith(f"{prefix}.")
            }
            moved = taken.first_difference_of(
                fingerprint({key: value for key, value in held.items() if canonical(key) in taken.tensors})
            )
            if moved is not None:
                raise InputError(
                    f"expected the frozen tensors of {name or REST} in the checkpoint of iteration "
                    f"{runner.iter}, but {moved} has other values there: a hook's before_save_checkpoint "
                    "changed it. It was not written."
                )

    def _bodies(self, runner) -> list[tuple[str, object]]:
        """Names and modules of the frozen backbones that are watched."""
        parts = dict(unwrapped(runner.model).named_modules())
        return [(name, parts[name]) for name in self._watched(runner) if hasattr(parts[name], "changed_since_built")]

    def _refuse_changes(self, name: str, part, when: str) -> None:
        changed = part.changed_since_built()
        if changed is not None:
            raise InputError(
                f"the frozen module {name} changed {when}: {changed}. Expected it as it was built. Look "
                "for hooks or code that touch it, or unfreeze that part."
            )
        for hook in part.hooks_since_built():
            if hook not in self._named_hooks:
                self._named_hooks.add(hook)
                print_log(
                    f"frozen proof: {name} has a {hook} that was not there when it was built; it may change "
                    "what the frozen module gives, and no checkpoint holds it",
                    "current",
                    logging.WARNING,
                )

    def _watched(self, runner) -> dict[str, dict]:
        """module name -> {tensor name: tensor} of everything watched."""
        parts = dict(unwrapped(runner.model).named_modules())
        names = self.modules
        if names is None:
            names = [name for name, part in parts.items() if hasattr(part, "frozen_tensors") and part.is_frozen]
        found = {}
        for name in names:
            if name not in parts:
                raise InputError(
                    f"FrozenProofHook.modules names {name!r}, which the model does not have; {closest(name, parts)}"
                )
            part = parts[name]
            found[name] = part.frozen_tensors() if hasattr(part, "frozen_tensors") else part.state_dict()
            if not found[name]:
                raise InputError(
                    f"FrozenProofHook.modules names {name!r}, in which nothing is frozen "
                    "(freeze=False?). Take it off the list."
                )
        return found

    def _compare_with_checkpoint(self, watched: dict) -> None:
        for name, recorded in self._recorded.items():
            if name not in watched:
                continue
            # A checkpoint from behind an UnfreezeHook recorded less than is frozen when a new run starts from it.
            now = fingerprint(
                {key: tensor for key, tensor in watched[name].items() if canonical(key) in recorded["tensors"]}
            )
            if now.digest != recorded["digest"]:
                moved = Fingerprint(recorded["digest"], recorded["tensors"]).first_difference(now)
                raise InputError(
                    f"the checkpoint records a digest of {name or REST} that its tensors do not have: "
                    f"{moved} differs. The file was changed after it was written, or another base was "
                    "attached. Use the original file."
                )
        self._recorded = {}

    def _lines(self, runner) -> list[str]:
        lines = []
        for name, tensors in self._watched(runner).items():
            floats = sum(t.numel() for t in tensors.values())
            lines.append(
                f"{name or REST}: {len(tensors)} tensors, {floats / 1e6:.2f} M values, "
                f"sha256 {self.start[name].digest[:12]}"
            )
        return lines

    def _note(self, runner, when: str, moved: str | None = None) -> None:
        """Keep the record and write ``frozen_proof.json`` (main process, atomically)."""
        self.checks.append(
            {
                "when": when,
                "iter": int(runner.iter),
                "epoch": int(runner.epoch),
                "unchanged": moved is None,
                **({"moved": moved} if moved else {}),
            }
        )
        if runner.rank != 0:
            return
        model = unwrapped(runner.model)
        parts = dict(model.named_modules())
        modules = []
        for name, tensors in self._watched(runner).items():
            names = {n for n, _ in getattr(parts[name], "body", parts[name]).named_parameters()}
            modules.append(
                {
                    "name": name or REST,
                    "digest": self.start[name].digest if name in self.start else None,
                    "num_params": sum(t.numel() for n, t in tensors.items() if n in names),
                    "num_buffers": sum(n not in names for n in tensors),
                    "source": getattr(parts[name], "source", None) and str(parts[name].weights),
                }
            )
        write_json(
            Path(runner.work_dir) / "frozen_proof.json",
            {"modules": modules, "checks": self.checks, "trained": trained_names(model)},
        )


class _LastCheck(Hook):
    """Runs after all other hooks of a run, so that it sees what they change."""

    def __init__(self, proof: FrozenProofHook):
        self.proof = proof

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the file that is about to be written."""
        self.proof.check_file(runner, checkpoint)

    def after_run(self, runner) -> None:
        """The end of the proof."""
        self.proof.finish(runner)


def trained_names(model) -> list[str]:
    """What has gradients, shortened to the outermost modules that train whole (adapters, neck, heads, one layer)."""
    names = []

    def visit(prefix: str, part) -> None:
        flags = [parameter.requires_grad for parameter in part.parameters()]
        if prefix and flags and all(flags):
            names.append(prefix)
        elif any(flags):
            own = (
                f"{prefix}.{name}" if prefix else name
                for name, parameter in part.named_parameters(recurse=False)
                if parameter.requires_grad
            )
            names.extend(own)
            for name, child in part.named_children():
                visit(f"{prefix}.{name}" if prefix else name, child)

    visit("", model)
    return names
