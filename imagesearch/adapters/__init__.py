"""One vendor a file: each adapter implements a port of `imagesearch/ports.py`."""
