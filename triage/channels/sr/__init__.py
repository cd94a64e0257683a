"""DICOM structured reports (TID 1500)."""
