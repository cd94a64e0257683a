"""The service: radiographs in over DICOM, tags and priorities out. Imports no torch."""

import logging

# Its messages quote the values of attributes, and those may be a patient's.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
