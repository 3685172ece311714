"""Stands in models/cascade_mask_rcnn_b7.py now; this path works until 2027-06-30."""
_base_ = ["models/cascade_mask_rcnn_b7.py"]
