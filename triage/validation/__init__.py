"""Validation: what is claimed of a model, measured on labelled cohorts. Imports no torch."""
