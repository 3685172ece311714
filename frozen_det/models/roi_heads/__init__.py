"""Cascade, box head, mask head, RoI sampling."""
