"""The smallest model, data and Runner that load checkpoints: two numbers in, one label out."""

import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

import frozen_det.engine  # noqa: F401  lets every Runner check what it loads


class ToyDetector(BaseModel):
    """Label i where the i-th number is the largest; `probabilities` predicts as a classifier does."""

    def __init__(self, num_classes: int = 2, probabilities: bool = False):
        super().__init__()
        self.stem, self.head = nn.Linear(num_classes, num_classes), nn.Linear(num_classes, num_classes)
        self.probabilities = probabilities
        for layer in (self.stem, self.head):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        logits = self.head(self.stem(torch.stack(list(inputs)).float()))
        if mode == "loss":
            return {"loss": logits.square().mean()}
        if self.probabilities:
            return [{"logits": one, "scores": one.softmax(0)} for one in logits]
        return [DetDataSample(pred_instances=InstanceData(labels=one.argmax(0, keepdim=True))) for one in logits]


class ToyData(torch.utils.data.Dataset):
    """One sample for each class, in order."""

    def __init__(self, classes, count: int | None = None):
        self.metainfo = {} if classes is None else dict(classes=classes)
        self.count = count or len(classes)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return dict(inputs=torch.eye(self.count)[index], data_samples=DetDataSample())


class Labels(BaseMetric):
    """Keeps the labels that were predicted, in order, or the logits."""

    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results += [
            one["logits"].tolist() if "logits" in one else int(one["pred_instances"]["labels"]) for one in data_samples
        ]

    def compute_metrics(self, results):
        self.found = list(results)
        return {"count": len(results)}


def toy_runner(work_dir, train=None, val=None, test=None, model=None, hooks=(), **others) -> Runner:
    """A Runner over toy data with the classes given; `resume` and `load_from` as mmengine has them."""

    def loader(classes):
        data = classes if isinstance(classes, torch.utils.data.Dataset) else ToyData(classes)
        return dict(dataset=data, batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))

    parts = {}
    for name, classes in (("val", val), ("test", test)):
        if classes is not None:
            parts |= {f"{name}_dataloader": loader(classes), f"{name}_cfg": {}, f"{name}_evaluator": [Labels()]}
    if train is not None:
        parts |= dict(
            train_dataloader=loader(train),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-3)),
        )
    known = next((c for c in (train, val, test) if c is not None), "ab")
    toy_runner.count = getattr(toy_runner, "count", 0) + 1
    return Runner(
        model=model or ToyDetector(len(known)),
        work_dir=str(work_dir),
        custom_hooks=list(hooks),
        experiment_name=f"toy{toy_runner.count}",
        log_level="INFO",
        **parts,
        **others,
    )


def save(path, classes, model=None, change=lambda state: state, **meta):
    """A checkpoint as mmengine writes it."""
    state = dict((model or ToyDetector(len(classes))).state_dict())
    torch.save(
        {
            "state_dict": change(state),
            "message_hub": {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}},
            "meta": {"epoch": 1, "iter": 1, "dataset_meta": {"classes": classes}, **meta},
        },
        path,
    )
    return str(path)
