"""One run, from configuration to weights and scores: training loop, cross-validation, checkpoints."""
