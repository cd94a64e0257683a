"""Tests of model folders and sessions."""
