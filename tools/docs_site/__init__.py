"""The documentation site: `pages.py` reads what is written, `html.py` writes what is shown."""
