"""A simulation of the reading room: turnaround times with and without triage. It needs no service and no model."""
