"""Where spans of telemetry.py go, a file a place."""
