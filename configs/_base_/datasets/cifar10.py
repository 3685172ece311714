"""CIFAR-10 as an image folder, `data_root/{train,test}/CLASS/*`: padded crops and flips, in memory; test as it is."""
data_root = "data/cifar10"
_collate = dict(type="frozen_det.collate_images")

train_dataloader = dict(
    # In memory and transformed in batches: worker processes would only add copies.
    batch_size=128, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="train", in_memory=True,
                 transform=dict(type="frozen_det.CifarTrain", padding=4, flip=0.5)))
val_dataloader = dict(
    batch_size=250, num_workers=0, drop_last=False, collate_fn=_collate,
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.ImageFolder", data_root=data_root, split="test", in_memory=True, test_mode=True,
                 transform=dict(type="frozen_det.CifarEval")))
test_dataloader = val_dataloader
val_evaluator = dict(type="frozen_det.ClassificationMetric")
test_evaluator = val_evaluator
