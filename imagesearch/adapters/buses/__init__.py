"""The port `Publisher`, a file a vendor."""
