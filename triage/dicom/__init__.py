"""DICOM building blocks: PS3.10 files, header scan, UIDs, upper layer, TLS, image objects."""
