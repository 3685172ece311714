"""The advisor held against the study: scores and probes on its sets, and each set foretold from the others."""
