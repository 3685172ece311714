"""Classification: training the backbones that are worth freezing."""
