"""Where the tests of `tests/e2e` find pictures; they are drawn in `tools/pictures.py`."""

from tools.pictures import jpeg as jpeg
from tools.pictures import picture as picture
