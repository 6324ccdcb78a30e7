"""Collections and their files, a file a vendor."""
