"""Stands in classifier_runtime.py now; this path works until 2027-06-30."""
_base_ = ["classifier_runtime.py"]
