"""Signed JSON over HTTP."""
