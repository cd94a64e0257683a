"""Tests of training/networks/."""
