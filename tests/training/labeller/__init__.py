"""Tests of the labels that reports give."""
