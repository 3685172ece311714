"""Commands that help to choose what to train."""
