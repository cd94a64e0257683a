"""Blinded reading of local cases by local radiologists, and labels from their answers."""
