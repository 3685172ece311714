"""Noisy Student on CIFAR-10 with 4,000 labels, 400 of each class: two rounds, soft labels, ratio 3.

Xie et al., arXiv 1911.04252. Data: an image folder data_root/{train,test}/CLASS/*; the labels of all other training
images are forgotten. expected: no published number for this network; measured variants in docs/noisy_student.md.
    frozen-det noisy_student noisy_student/resnet20_cifar10 --cfg-options data_root=DIR
"""
data_root = "data/cifar10"
_student = dict(
    config="noisy_student/resnet20_noisy_cifar10",
    # 16 labelled and 48 pseudo-labelled images in a batch; an epoch is one pass over the labelled ones. With plain SGD
    # the mean over the joint batch: the released code's sum is 1 + ratio times larger, which RMSProp does not see.
    options=dict(data_root=data_root, train_dataloader=dict(batch_size=16), auto_scale_lr=dict(base_batch_size=16),
                 train_cfg=dict(max_epochs=16), param_scheduler={"0": dict(T_max=16)}),
    labels="soft", temperature=1.0, ratio=3, weighting="mean", min_confidence=0.3, per_class=4600)

split = dict(data_root=data_root, split="train", per_class=400, pool_images=None, seed=0)
teacher = dict(
    config="noisy_student/resnet20_plain_cifar10",
    options=dict(data_root=data_root, train_cfg=dict(max_epochs=64), param_scheduler={"0": dict(T_max=64)}))
rounds = [dict(**_student), dict(**_student)]
labelling = dict(batch_size=250, part_size=5000)
fixres = None
test = True
