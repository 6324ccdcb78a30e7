"""What the product does, written against the ports."""
