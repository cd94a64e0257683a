"""Ways out against real peers."""
