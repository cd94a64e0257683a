"""Scores of a cohort: predictions, other models, scoring through the DICOM port."""
