"""Tests of training/commands/."""
