#!/bin/sh
# Builds the documentation site for a deployment, which has Python and pip but no virtual environment.
# On a developer's machine that is `make docs`.
set -eu
packages=build/docs-packages
rm -rf "$packages"
python3 -m pip install --quiet --disable-pip-version-check --require-hashes --target "$packages" \
  --requirement tools/docs_site/requirements.txt
PYTHONPATH="$packages" python3 -m tools.docs_site
