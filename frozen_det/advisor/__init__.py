"""Which backbone for which data, before anything is trained: scores of frozen features, and what a step costs here."""
