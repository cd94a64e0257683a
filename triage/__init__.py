"""The service: radiographs in over DICOM, tags and priorities out. Imports no torch."""
