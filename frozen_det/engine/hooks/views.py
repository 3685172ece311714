"""`frozen_det.ViewsHook`: a training that repeats after some epochs, so that what a frozen part gives can be kept.

The first `views` epochs are those of any run of the seed; from then on epoch e has the samples, their order and the
step's draws of epoch ``e % views``: the same pictures cut, flipped and pasted alike, the same regions drawn. A run of
no more epochs than views is bit by bit a run without this hook.
"""

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from ...datasets.samplers.seeding import SampleIndex, SeededSamples
from ...errors import InputError
from ...registry import HOOKS
from .step_seed import StepSeedHook


@HOOKS.register_module()
class ViewsHook(Hook):
    """Repeat a training's draws in turn.

    Args:
        views: epochs of draws of their own, from 1 on.

    Raises:
        InputError: `views` is no whole number from 1 on; draws that follow from no (seed, epoch), so cannot repeat: a
            loop that counts no epochs, a sampler or data set of the host, no ``frozen_det.StepSeedHook``; a pipeline
            that changes between epochs; two hooks with different views.
    """

    priority = "LOW"  # DistSamplerSeedHook, which sets the sampler's epoch, comes before

    def __init__(self, views: int):
        if not isinstance(views, int) or isinstance(views, bool) or views < 1:
            raise InputError(
                f"expected a whole number of views from 1 on, got {views!r} ({type(self).__name__}.views): epochs "
                "after which samples come again as they were. A number as high as max_epochs repeats nothing."
            )
        self.views = views

    def before_train(self, runner) -> None:
        """Check that the draws can repeat, and let the steps' own do so."""
        loader = runner.train_loop.dataloader
        steps = [hook for hook in runner.hooks if isinstance(hook, StepSeedHook)]
        self._refuse_unseeded(runner, loader, steps)
        for hook in steps:
            period = self.views * len(loader)
            if hook.period not in (None, period):
                raise InputError(
                    f"expected one number of views in a run, got {self.views} and {hook.period // len(loader)} "
                    f"({type(self).__name__}.views). Give every hook that repeats epochs the same."
                )
            hook.period = period

    def before_train_epoch(self, runner) -> None:
        """Set the sampler's epoch."""
        loader = runner.train_loop.dataloader
        own = getattr(loader, "sampler", None)
        sampler = own if hasattr(own, "set_epoch") else loader.batch_sampler.sampler
        sampler.set_epoch(self.view(runner))

    def view(self, runner) -> int:
        """The view of the current epoch, in [0, views)."""
        return runner.epoch % self.views

    def _refuse_unseeded(self, runner, loader, steps: list) -> None:
        where, drawn = f"({type(self).__name__})", getattr(loader.batch_sampler, "sampler", None)
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(
                f"expected a training by epochs to repeat them, got {type(runner.train_loop).__name__} {where}. Set "
                "train_cfg.by_epoch=True or leave the hook out."
            )
        if not isinstance(next(iter(drawn), None), SampleIndex) or not hasattr(drawn, "set_epoch"):
            raise InputError(
                f"expected a sampler whose draws follow from seed and epoch in train_dataloader.sampler, got "
                f"{type(drawn).__name__} {where}. Use frozen_det.EpochSampler or another of frozen_det's."
            )
        if not isinstance(loader.dataset, SeededSamples):
            raise InputError(
                f"expected a data set whose draws follow from its sample's seed in train_dataloader.dataset, got "
                f"{type(loader.dataset).__name__} {where}. Use frozen_det.CocoDataset, or put it into "
                "dict(type='frozen_det.SeededDataset', dataset=...)."
            )
        if not steps:
            raise InputError(
                f"expected frozen_det.StepSeedHook in custom_hooks, got none {where}: without it a step's draws follow "
                "from all before it. Add dict(type='frozen_det.StepSeedHook')."
            )
        marks = ("switch_pipeline", "skip_type_keys")  # of mmdet's PipelineSwitchHook and YOLOXModeSwitchHook
        switch = next((type(h).__name__ for h in runner.hooks if any(hasattr(h, mark) for mark in marks)), None)
        if switch is not None:
            raise InputError(
                f"expected the same pipeline in every epoch, got {switch} in custom_hooks, which changes it {where}. "
                "Leave one of the two out."
            )
