"""The port `ImageStore`, a file a vendor."""
