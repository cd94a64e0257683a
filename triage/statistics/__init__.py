"""Statistics of diagnostic tests: intervals, calibration, sample size."""
