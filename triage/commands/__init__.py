"""The commands: ``triage NAME`` is in ``NAME.py``, with its options; ``triage.cli`` puts them together.

They import what they need when they run: `triage worklist` should not wait for ONNX Runtime.
"""
