"""Export of checkpoints to a model folder, through a parity gate."""
