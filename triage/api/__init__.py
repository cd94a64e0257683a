"""The public Python API behind ``import triage``: load models, score an image (docs/reference/python-api.md).

It has no scoring of its own: it calls ``triage.scoring``, as the service and ``triage predict`` do.
"""
