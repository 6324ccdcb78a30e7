"""The ports `Cache` and `RateLimiter`, a file a vendor."""
