"""The port `Buckets`, a file a vendor."""
