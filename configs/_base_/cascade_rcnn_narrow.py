"""Stands in models/cascade_rcnn_narrow.py now; this path works until 2027-06-30."""
_base_ = ["models/cascade_rcnn_narrow.py"]
