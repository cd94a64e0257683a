"""The DICOM listener (Storage SCP): from an association request to a durable object in the spool."""
