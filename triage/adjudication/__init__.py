"""Disagreements of readers with results, reports and each other, the judgement of another person, and random audits."""
