"""Annotation formats and folder layouts, read and checked: COCO, VOC, YOLO."""
