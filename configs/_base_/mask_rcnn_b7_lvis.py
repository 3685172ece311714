"""Stands in models/mask_rcnn_b7_lvis.py now; this path works until 2027-06-30."""
_base_ = ["models/mask_rcnn_b7_lvis.py"]
