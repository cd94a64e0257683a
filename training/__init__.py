"""From labelled radiographs to checkpoints. Imports triage.radiograph and triage.model, never the other way."""
