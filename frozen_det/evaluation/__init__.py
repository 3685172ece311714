"""Metrics of frozen_det. Importing it registers them."""

from .coco_metric import CocoMetric
from .evaluate import Evaluation, evaluate_detections
from .lvis_metric import LVISMetric
from .stored_results import evaluate_stored

__all__ = ["CocoMetric", "Evaluation", "LVISMetric", "evaluate_detections", "evaluate_stored"]
