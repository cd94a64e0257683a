"""Tests of training/studies/."""
