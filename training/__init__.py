"""Training of networks: labelled radiographs in, checkpoints out. It imports triage; triage never imports it."""
