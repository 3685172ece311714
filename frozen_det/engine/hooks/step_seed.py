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
    """Seed `random`, numpy and torch before each training iteration. Costs some 20 microseconds."""

    priority = "VERY_HIGH"

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed from the run's seed, the iteration that begins, and the rank (augmentation differs by rank)."""
        import numpy as np
        import torch

        seed = int(
            np.random.SeedSequence([int(runner.seed or 0), int(runner.iter), int(runner.rank)]).generate_state(1)[0]
        )
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)  # seeds the GPU generators as well
