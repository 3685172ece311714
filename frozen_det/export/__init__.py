"""Backbones out: weights files with their card, and programs. Nothing is kept that does not give back what went in."""

from .programs import ProgramReport, export_program
from .weights_file import export_backbone

__all__ = ["ProgramReport", "export_backbone", "export_program"]
