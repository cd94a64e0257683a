"""Units of simulated time. Minutes count from a Monday 00:00."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Minutes = npt.NDArray[np.float64]

HOUR = 60.0
"""Minutes in an hour."""
DAY = 24 * HOUR
WEEK = 7 * DAY
HOURS = 168
"""Hours in a week."""
