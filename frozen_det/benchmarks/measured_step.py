"""One training step of a detector on made images, as it is timed: forward, losses, backward, optimiser.

Images and objects are fixed by a seed and carry no meaning; the number of regions in the second stage is what the
config's sampler asks for, since noise gives more proposals than that.
"""

import contextlib
import math
import time

import torch

from ..errors import InputError

_OBJECTS_PER_IMAGE = 8


class TrainStep:
    """A detector with an optimiser and a fixed batch.

    Args:
        model_cfg: complete config of an mmdet detector.
        setting: has ``size`` (px), ``batch``, ``device``, ``bf16``, ``channels_last``, ``compile_neck``.

    Attributes:
        last_loss: of the last step.
    """

    def __init__(self, model_cfg: dict, setting):
        from mmdet.registry import MODELS
        from mmengine.config import ConfigDict
        from mmengine.registry import DefaultScope

        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmdet"):
            self.model = MODELS.build(ConfigDict(model_cfg))
        with _quiet_host():
            self.model.init_weights()
        self.model.to(setting.device).train()
        self.setting, self.last_loss = setting, math.nan
        self.images, self.samples = made_batch(setting.batch, setting.size, setting.device)
        if setting.channels_last:
            self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        if setting.compile_neck:
            self.model.neck.compile()
        # Without momentum, so that several arms fit into memory side by side; it is the same in all of them.
        self.optimizer = torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], lr=1e-6)

    def loss(self) -> torch.Tensor:
        """The sum of the detector's losses."""
        on = (
            torch.autocast(torch.device(self.setting.device).type, torch.bfloat16)
            if self.setting.bf16
            else contextlib.nullcontext()
        )
        with on:
            losses = self.model(self.images, [sample.clone() for sample in self.samples], mode="loss")
        return self.model.parse_losses(losses)[0]

    def step(self) -> None:
        """Forward, backward, update.

        Raises:
            InputError: the loss is not finite, so that the time would be that of something else.
        """
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.last_loss = loss.item()
        if not math.isfinite(self.last_loss):
            raise InputError(
                f"expected a finite loss of the measured step, got {self.last_loss}. Without --bf16 it should be."
            )

    def timed_step(self) -> tuple[float, float, int]:
        """Wall seconds, process seconds, peak bytes on the GPU (0 on a CPU)."""
        on_gpu = self.images.is_cuda
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter(), time.process_time()
        base = torch.cuda.memory_allocated() if on_gpu else 0
        self.step()
        if on_gpu:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.optimizer.zero_grad(set_to_none=True)  # the other arms' gradients do not count into a peak
        return wall, cpu, torch.cuda.max_memory_allocated() - base if on_gpu else 0

    def kept_bytes(self) -> int:
        """Bytes autograd keeps for the backward pass: distinct storages, without parameters, buffers and images."""
        own = {t.untyped_storage().data_ptr() for t in [*self.model.parameters(), *self.model.buffers(), self.images]}
        kept = {}

        def note(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = tensor  # held, so that no later storage gets the same address
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = self.loss()
        total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        del loss
        return total


@contextlib.contextmanager
def _quiet_host():
    """mmengine logs every parameter that it initialises: thousands of lines in front of one table."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def made_batch(batch: int, size: int, device: str):
    """Images (batch, 3, size, size), float32 noise of unit variance, and mmdet's samples with 8 boxes in each."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator).to(device)
    samples = []
    for _ in range(batch):
        corners = torch.rand(_OBJECTS_PER_IMAGE, 2, generator=generator) * 0.6 * size
        sides = (0.05 + 0.3 * torch.rand(_OBJECTS_PER_IMAGE, 2, generator=generator)) * size
        labels = torch.randint(0, 80, (_OBJECTS_PER_IMAGE,), generator=generator)
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(size, size),
                ori_shape=(size, size),
                pad_shape=(size, size),
                batch_input_shape=(size, size),
                scale_factor=(1.0, 1.0),
                flip=False,
            )
        )
        sample.gt_instances = InstanceData(bboxes=torch.cat([corners, corners + sides], 1), labels=labels)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        samples.append(sample.to(device))
    return images, samples
