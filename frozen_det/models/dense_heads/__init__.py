"""RPN and RetinaNet heads."""
