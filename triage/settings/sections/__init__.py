"""The sections of the settings: ``[x]`` is in ``x.py``; the listener's is ``triage.listener.settings``."""
