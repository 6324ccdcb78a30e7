"""Values and pure functions: no vendor, no HTTP."""
