"""Stands in schedules/schedule_detr_12e.py now; this path works until 2027-06-30."""
_base_ = ["schedules/schedule_detr_12e.py"]
