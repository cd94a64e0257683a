"""The cohort of a validation: manifest, provenance, members, feedback of readers."""
