"""The port `PoolCache`, a file a vendor."""
