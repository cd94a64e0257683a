"""What takes too long, or needs too much of a machine, for every change: docs/reference/acceptance.md."""
