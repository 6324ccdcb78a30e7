"""Ratios taken side by side in one run; what must be right is in `tests/`."""
