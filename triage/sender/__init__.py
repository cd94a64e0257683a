"""A DICOM sender (C-STORE SCU) for files, folders and pictures."""
