"""What triage changes for the waiting patient: a simulation of the reading room. No service, no queue, no model."""
