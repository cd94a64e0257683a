"""Workitems at a UPS manager, by DIMSE."""
