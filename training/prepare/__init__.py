"""From a cohort as its owner publishes it to the one manifest: one file per cohort, found through registry.py."""
