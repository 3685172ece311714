"""Stands in recipes/noisy_imagenet1k.py now; this path works until 2027-06-30."""
_base_ = ["recipes/noisy_imagenet1k.py"]
