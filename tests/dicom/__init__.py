"""Tests of triage/dicom/."""
