"""One training step on synthetic images, as it is timed: forward, losses, backward, optimiser.

Images and objects are fixed by a seed and carry no meaning; the number of regions in the second stage is what the
config's sampler needs, since noise gives more proposals than that.
"""

import contextlib
import math

import torch

from ..errors import InputError
from .detector_batch import synthetic_batch
from .measurement import kept_bytes


class MeasuredStep:
    """A model with an optimiser on fixed images.

    Attributes:
        last_loss: of the last step.
    """

    remedy = ""

    def __init__(
        self,
        model: torch.nn.Module,
        images: torch.Tensor,
        lr: float,
        momentum: float = 0.0,
        fused: bool = False,
        scaler: "torch.amp.GradScaler | None" = None,  # not in torch 2.1
    ):
        self.model, self.images, self.last_loss, self.scaler = model.train(), images, math.nan, scaler
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=lr, momentum=momentum, **(dict(fused=True) if fused else {}))

    def loss(self) -> torch.Tensor:
        """What is minimised."""
        raise NotImplementedError

    def step(self) -> None:
        """Forward, backward, update.

        Raises:
            InputError: the loss is not finite, so that the time would be that of something else.
        """
        loss = self.loss()
        self.drop_gradients()
        if self.scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.last_loss = loss.item()
        if not math.isfinite(self.last_loss):
            raise InputError(f"expected a finite loss of the measured step, got {self.last_loss}.{self.remedy}")

    def drop_gradients(self) -> None:
        """Other models' gradients do not count into a peak."""
        self.optimizer.zero_grad(set_to_none=True)

    def kept_bytes(self) -> int:
        """Bytes autograd keeps for the backward pass: distinct storages, without parameters, buffers and images."""
        return kept_bytes(self.loss, [*self.model.parameters(), *self.model.buffers(), self.images])


class DetectorStep(MeasuredStep):
    """A detector on a fixed batch.

    Args:
        model_cfg: complete config of an mmdet detector.
        setting: a :class:`~.devices.train_step.Setting`.
    """

    remedy = " Without --bf16 it should be."

    def __init__(self, model_cfg: dict, setting):
        from mmdet.registry import MODELS
        from mmengine.config import ConfigDict
        from mmengine.registry import DefaultScope

        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(ConfigDict(model_cfg))
        with quiet_host():
            model.init_weights()
        model.to(setting.device)
        self.setting = setting
        size = setting.size
        images = torch.randn(setting.batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(
            setting.device
        )
        batch = synthetic_batch(size, num_classes=80, images=setting.batch, with_masks=False, objects=8)
        self.samples = [sample.to(setting.device) for sample in batch["data_samples"]]
        if setting.channels_last:
            model.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        if setting.compile_neck:
            model.neck.compile()
        if setting.from_host:
            images = torch.randint(0, 256, images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
            images = images.pin_memory() if setting.on_gpu else images
        if setting.graph_backbone:
            model.backbone.forward = _captured(model.backbone, images)
        scaler = torch.amp.GradScaler(torch.device(setting.device).type) if setting.fp16 else None
        # Without momentum, so that several models fit into memory side by side; it is the same in all of them.
        super().__init__(model, images, lr=1e-6, fused=setting.fused, scaler=scaler)

    def loss(self) -> torch.Tensor:
        """The sum of the detector's losses."""
        images, samples = self.images, [sample.clone() for sample in self.samples]
        if self.setting.from_host:
            data = self.model.data_preprocessor(dict(inputs=list(images), data_samples=samples), True)
            images, samples = data["inputs"], data["data_samples"]
        on = contextlib.nullcontext()
        if self.setting.bf16 or self.setting.fp16:
            half = torch.bfloat16 if self.setting.bf16 else torch.float16
            on = torch.autocast(torch.device(self.setting.device).type, half)
        with on:
            losses = self.model(images, samples, mode="loss")
        return self.model.parse_losses(losses)[0]


def _captured(backbone: torch.nn.Module, images: torch.Tensor):
    """A frozen backbone's forward for images of this shape as a CUDA graph; its features are overwritten by each call.

    Args:
        backbone: nothing of it trains.
        images: (N, 3, H, W) on the GPU.
    """
    held = images.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside), torch.no_grad():
        for _ in range(3):  # libraries choose their kernels and allocate before the capture
            backbone(held)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        features = backbone(held)

    def replay(given: torch.Tensor):
        held.copy_(given)
        graph.replay()
        return features

    return replay


@contextlib.contextmanager
def quiet_host():
    """mmengine logs every parameter that it initialises: thousands of lines in front of one table."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)
