"""The port `Scorer`, a file a vendor."""
