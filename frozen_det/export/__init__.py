"""Export of backbones: weights files with their card, and programs, each compared with the model before it is kept."""

from .family_programs import export_family
from .programs import ProgramReport, export_program
from .weights_file import export_backbone

__all__ = ["ProgramReport", "export_backbone", "export_family", "export_program"]
