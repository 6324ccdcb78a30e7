"""Adapters of the port `Pools`."""
