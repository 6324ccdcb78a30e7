#!/bin/sh
# Builds the web app's image; with a tag, also pushes it, and writes its name by digest to a file. Without
# one, a file that names no image yet is given a digest that none has. Cloud Build and docs/app.md run it.
#
# Usage: tools/push_app_image.sh REPOSITORY FILE [TAG]
set -eu
repository=$1
file=$2
tag=${3-}

mkdir -p "$(dirname "$file")"
if [ -z "$tag" ]; then
  docker buildx build --file app/Dockerfile .
  [ -s "$file" ] || echo "$repository/app@sha256:$(printf '%064d' 0)" >"$file"
  exit
fi

docker buildx build --file app/Dockerfile --provenance=false --tag "$repository/app:$tag" --push \
  --metadata-file "$file.json" .
digest=$(sed -n 's/.*"containerimage\.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$file.json")
if [ -z "$digest" ]; then
  echo "$file.json names no digest of the image" >&2
  exit 1
fi
echo "$repository/app@$digest" >"$file"
cat "$file"
