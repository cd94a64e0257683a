"""Studies over several runs: grids, ablations, learning curves, comparisons, shortcuts, and their plots."""
