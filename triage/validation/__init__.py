"""Validation of models on labelled cohorts. Imports no torch."""
