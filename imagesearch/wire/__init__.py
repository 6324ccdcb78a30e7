"""What travels between the services."""
