"""Tests of reader studies."""
