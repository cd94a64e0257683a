"""Bytes of strangers, mutated, and what must never come of it. ``make fuzz`` is ``python -m tests.fuzz``."""
