"""Scoring: workers, batches, and the path of one object from bytes to an assessment."""
