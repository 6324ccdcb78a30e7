"""
Ratios taken side by side in one run; what must be right is in `tests/`.

`python -m benchmarks` runs those of `suite.py`, each in a process of its own; `common.py` is what
they share, `report.py` writes `docs/benchmarks.md`, and `plots.py` draws.
"""
