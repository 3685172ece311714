"""Stands in schedules/schedule_detr_50e.py now; this path works until 2027-06-30."""
_base_ = ["schedules/schedule_detr_50e.py"]
