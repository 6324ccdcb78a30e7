"""The port `Retention`, a file a vendor."""
