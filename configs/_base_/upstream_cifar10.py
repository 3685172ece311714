"""Stands in datasets/cifar10.py now; this path works until 2027-06-30."""
_base_ = ["datasets/cifar10.py"]
