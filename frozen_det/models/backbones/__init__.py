"""The frozen backbone: what is frozen, how it runs, what it folds and keeps."""
