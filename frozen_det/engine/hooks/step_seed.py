"""`frozen_det.StepSeedHook`: every training step draws from (run seed, iteration, rank), and from nothing else.

With it a resumed run takes the same steps as an uninterrupted one without storing generator states: what validation,
logging or data workers drew in between does not matter. (Samples have their own seeds, see
:mod:`frozen_det.datasets.samplers.seeding`.)
"""

import random

from mmengine.hooks import Hook

from ...registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed `random`, numpy and torch before each training iteration. Costs some 20 microseconds.

    Attributes:
        period: iterations after which the draws come again; None: never. Set by ``frozen_det.ViewsHook``.
    """

    priority = "VERY_HIGH"
    period: int | None = None

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed from the run's seed, the iteration that begins, and the rank (augmentation differs by rank)."""
        import numpy as np
        import torch

        step = int(runner.iter) if self.period is None else int(runner.iter) % self.period
        seed = int(np.random.SeedSequence([int(runner.seed or 0), step, int(runner.rank)]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)  # seeds the GPU generators as well
