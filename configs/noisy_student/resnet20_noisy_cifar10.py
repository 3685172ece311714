"""CIFAR ResNet-20 with Noisy Student's noise: RandAugment, dropout 0.2, stochastic depth to 0.2 at the last block.

Xie et al., arXiv 1911.04252; magnitude 5, holes of 16 px and the small crop as the released code has them for 32 px
(google-research/noisystudent, local_scripts/svhn/run.sh, preprocessing.py). expected: docs/noisy_student.md.
    frozen-det train noisy_student/resnet20_noisy_cifar10 --cfg-options data_root=DIR
"""
_base_ = ["../_base_/recipes/noisy_cifar10.py"]

model = dict(noise=dict(dropout=0.2, stochastic_depth=0.2, branches="layer*.*.bn2"))
train_dataloader = dict(dataset=dict(
    transform=dict(_delete_=True, type="frozen_det.NoisyTrain", size=32, magnitude=5, geometry="small")))
