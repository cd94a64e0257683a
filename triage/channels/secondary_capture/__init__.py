"""Activation maps as Secondary Capture images."""
