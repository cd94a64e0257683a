"""DICOM building blocks: PS3.10 files, header scan, attributes, UIDs, upper layer, TLS, image objects."""
