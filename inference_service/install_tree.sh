#!/bin/sh
# Installs Python packages into a tree of their own that is the same whenever it is made from the
# same wheels; the Dockerfile's layers are such trees.
#
# Usage: install_tree.sh TREE ARGUMENT_OF_PIP_INSTALL...
set -eu
tree=$1
shift
# Only wheels: no package's own build script runs, and no compiler is needed.
python3 -m pip install --only-binary=:all: --no-cache-dir --no-compile --target="$tree" "$@"
# Commands whose first line names this stage's Python; torch's test programs, 83 MB, and headers;
# what OpenVINO has for Intel's GPUs and NPUs, 61 MB.
rm -rf "${tree:?}/bin" "$tree/torch/test" "$tree/torch/include" "$tree/openvino/libs/cache.json" \
  "$tree"/openvino/libs/libopenvino_intel_[gn]pu_plugin.so
# Compiled without a check of the sources, which never change in an image: that saves a read of each
# when the service starts, and leaves no time in the compiled files. Packages hold a few files for
# another Python, which cannot be compiled and are never imported.
python3 -m compileall -qq --invalidation-mode unchecked-hash "$tree" || true
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
