"""Frozen, adapters or fine-tuned: arms x data sets x backbones x seeds, trained, tested and read side by side."""
