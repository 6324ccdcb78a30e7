"""Where the tests of `tests/e2e` find a SigLIP; it is built in `tools/siglip_checkpoints.py`."""

from tools.siglip_checkpoints import save_siglip_2 as save_siglip_2
from tools.siglip_checkpoints import tiny_config as tiny_config
