"""Adapters of the port `Library`."""
