"""Stands in datasets/lvis_lsj_cp_masks_1280.py now; this path works until 2027-06-30."""
_base_ = ["datasets/lvis_lsj_cp_masks_1280.py"]
