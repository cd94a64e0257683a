"""The cohort that is validated: manifest, provenance, members, feedback of readers."""
