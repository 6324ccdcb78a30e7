"""Captioned pictures, and what is measured with them over the true model."""
