"""Huber loss, class-balanced loss."""
