"""Decisions, pure: tag, priority and reasons of a study from the assessments of its images."""
