"""One run from configuration to weights and scores: the training loop, cross-validation, checkpoints."""
