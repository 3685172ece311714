"""Stands in models/deformable_detr.py now; this path works until 2027-06-30."""
_base_ = ["models/deformable_detr.py"]
