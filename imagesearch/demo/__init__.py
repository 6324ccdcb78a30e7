"""A drawn Pixabay: pictures that need no network."""
