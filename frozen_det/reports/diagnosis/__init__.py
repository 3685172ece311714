"""What a detector gets wrong, from the detections of its validation; two detectors on the same images."""
