"""The service: radiographs in over DICOM, tags and priorities out. Imports no torch."""

import logging

# pydicom's messages quote the values of attributes, and those may be a patient's: they go nowhere.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False
