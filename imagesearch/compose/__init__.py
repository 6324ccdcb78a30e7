"""What is built from the settings."""
