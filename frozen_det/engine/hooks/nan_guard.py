"""`frozen_det.NaNGuardHook`: a loss that is not finite stops training by the name of the module it came from.

The loss is looked at before the optimiser's step, so weights stay as they were. Only then is the batch run again, with
the same random draws, under a hook on every module. Otherwise an iteration costs one ``isfinite`` and a copy of torch's
generator state (numpy's and Python's, which the StepSeedHook sets, are set by it again). On a GPU the answer is asked
for before the backward pass and read after it: the host hands the whole backward pass over without waiting, and then
waits for no more than the forward pass. The values of a step that are logged come from a GPU together; the Runner
would read them one by one.
"""

import functools
from collections.abc import Callable, Iterator, Mapping

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapperDict
from mmengine.structures import BaseDataElement
from torch import nn

from ...errors import InputError
from ...registry import HOOKS
from .step_seed import StepSeedHook

MAX_NAMED_IMAGES = 4


@HOOKS.register_module()
class NaNGuardHook(Hook):
    """Stop at the first loss that is NaN or infinite.

    Raises:
        InputError: naming the first module, in the order of execution, whose output is not finite, and whether its
            parameters or its inputs were not finite before it. The step is not taken.
    """

    # After every hook that seeds generators, so that the states kept are those the step draws from.
    priority = "LOWEST"

    def __init__(self):
        self._batch = None
        self._random = None

    def before_train(self, runner) -> None:
        """Put the check between the backward pass and the step."""
        for wrapper in _wrappers(runner):
            backward = wrapper.backward

            @functools.wraps(backward)
            def guarded(loss, *args, _backward=backward, _wrapper=wrapper, **kwargs):
                is_finite = _asked_whether_finite(loss.detach())
                found = _backward(loss, *args, **kwargs)
                if not is_finite():
                    _wrapper.zero_grad()
                    self._stop(runner, loss)
                return found

            wrapper.backward = guarded
        step = runner.model.train_step

        @functools.wraps(step)
        def read(*args, **kwargs):
            return _read_together(step(*args, **kwargs))

        runner.model.train_step = read

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Remember the batch and the generators' states, in case it must be run again."""
        self._batch = data_batch
        self._random = torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None

    def after_train(self, runner) -> None:
        """Take the check out again and let the batch go."""
        for wrapper in _wrappers(runner):
            wrapper.__dict__.pop("backward", None)
        runner.model.__dict__.pop("train_step", None)
        self._batch = self._random = None

    def _stop(self, runner, loss: torch.Tensor) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._draw_again(runner)
        with (
            runner.optim_wrapper.optim_context(runner.model)
            if not isinstance(runner.optim_wrapper, OptimWrapperDict)
            else torch.no_grad()
        ):
            origin = first_non_finite(model, self._batch)
        raise InputError(
            f"expected a finite loss, got {float(loss.detach().sum())} in iteration {runner.iter + 1}, {origin}. "
            f"Images: {_image_names(self._batch)}. The step was not taken: the weights are those before it. Lower "
            "optim_wrapper.optimizer.lr or lengthen the warm-up, set optim_wrapper.clip_grad, or look at these "
            f"images' annotations.{_of_precision(runner.optim_wrapper)}"
        )

    def _draw_again(self, runner) -> None:
        for hook in runner.hooks:
            if isinstance(hook, StepSeedHook):
                hook.before_train_iter(runner, runner.iter, self._batch)
        cpu, gpu = self._random
        torch.set_rng_state(cpu)
        if gpu is not None:
            torch.cuda.set_rng_state(gpu)


def first_non_finite(model: nn.Module, batch) -> str:
    """Run ``batch`` (as the data loader gives it) through ``model`` in loss mode and say where numbers break first.

    Parameters, buffers and gradients are left as they were.
    """
    names = {module: name for name, module in model.named_modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    handles = [module.register_forward_hook(functools.partial(_check, names)) for module in names]
    try:
        with torch.no_grad():
            data = model.data_preprocessor(batch, True)
            model._run_forward(data, mode="loss")
    except _Found as found:
        return str(found)
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    return "which did not come back when the batch was run again, in no module's output"


class _Found(Exception):
    """Ends the second run where the first non-finite output is seen; its text says where."""


def _check(names: dict, module: nn.Module, args, output) -> None:
    if _finite(output):
        return
    name, kind = names[module], type(module).__name__
    where = f"first in the output of module `{name}` ({kind})" if name else f"in the losses of the model ({kind})"
    broken = [
        key
        for key, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if not _finite(tensor)
    ]
    if broken:
        raise _Found(f"{where}, whose own {', '.join(broken)} is not finite: a step before this one broke it")
    if not name and isinstance(output, Mapping):
        entries = ", ".join(key for key, value in output.items() if not _finite(value))
        raise _Found(f"{where}: {entries}, computed outside any module from finite outputs")
    if not _finite(args):
        raise _Found(f"{where}, whose input is not finite already: from the image, or from code between modules")
    raise _Found(f"{where}, whose inputs and parameters are finite")


def _asked_whether_finite(loss: torch.Tensor) -> Callable[[], bool]:
    """Ask whether a loss is finite; the call of what is returned waits for the answer."""
    finite = torch.isfinite(loss).all()
    if not finite.is_cuda:
        return lambda: bool(finite)
    answer = torch.empty((), dtype=torch.bool, pin_memory=True)  # torch keeps such memory and hands it out again
    answer.copy_(finite, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def is_finite() -> bool:
        copied.synchronize()
        return bool(answer)

    return is_finite


def _read_together(values: dict) -> dict:
    """The values of a step with every single number of a GPU on the host, in one copy."""
    names = [name for name, value in values.items() if getattr(value, "is_cuda", False) and value.numel() == 1]
    if not names:
        return values
    # float64 holds every float32 and every count as it is.
    numbers = torch.stack([values[name].detach().reshape(()).double() for name in names]).tolist()
    return {**values, **dict(zip(names, numbers))}


def _finite(value) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in _tensors(value))


def _tensors(value) -> Iterator[torch.Tensor]:
    """Every floating-point tensor inside nested lists, mappings and mmengine's data elements."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (Mapping, BaseDataElement)):
        for _, inner in value.items():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)


def _of_precision(wrapper) -> str:
    """A further remedy, where the range of float16 may have been the reason."""
    if isinstance(wrapper, AmpOptimWrapper) and wrapper.cast_dtype in (None, torch.float16):
        return (
            " In float16 values beyond 65504 are infinite: in place of --amp set "
            "optim_wrapper.type=frozen_det.AutocastOptimWrapper, which is bfloat16."
        )
    return ""


def _wrappers(runner) -> list:
    wrapper = runner.optim_wrapper
    return [one for _, one in wrapper.items()] if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _image_names(batch) -> str:
    samples = batch.get("data_samples") if isinstance(batch, Mapping) else None
    if isinstance(samples, Mapping):  # a classifier's batch
        paths = [str(path) for path in samples.get("path") or []]
    else:
        paths = [str(s.metainfo["img_path"]) for s in samples or [] if "img_path" in getattr(s, "metainfo", {})]
    more = f" and {len(paths) - MAX_NAMED_IMAGES} more" if len(paths) > MAX_NAMED_IMAGES else ""
    return ", ".join(paths[:MAX_NAMED_IMAGES]) + more if paths else "not named by the batch"
