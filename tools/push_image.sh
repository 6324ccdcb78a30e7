#!/bin/sh
# Builds the inference service's image; with a tag, also pushes it, and writes its name by digest to a
# file. Cloud Build runs it in a container with Docker; cloudbuild.yaml says which. The models are those of
# the environment that the variable ENVIRONMENT names, else of prod.
#
# Usage: tools/push_image.sh REPOSITORY PROFILE [TAG FILE]
set -eu
repository=$1
profile=$2
tag=${3-}
file=${4-}

case $profile in
  gpu | split) accelerator=cuda ;;
  cpu) accelerator=cpu ;;
  *)
    echo "the inference profile must be gpu, split or cpu, got $profile" >&2
    exit 1
    ;;
esac
cache=type=registry,ref=$repository-cache/inference:$accelerator

# Docker's own builder cannot keep the layers of all stages in a registry; BuildKit's container can.
docker buildx create --use --name images --driver docker-container \
  --driver-opt image=moby/buildkit:v0.29.0
set -- --file inference_service/Dockerfile --build-arg "ACCELERATOR=$accelerator" --cache-from "$cache"

set_to() { # NAME: what the environment says of it on one line
  sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\"\([^\"]*\)\".*/\1/p" \
    "terraform/environments/${ENVIRONMENT:-prod}/main.tf"
}
model=$(set_to clip_model)
revision=$(set_to clip_revision)
[ -z "$model" ] || set -- "$@" --build-arg "CLIP_MODEL=$model"
# The Dockerfile's is the commit of `small`: of another model none is better than that.
case $model in
  '' | small) [ -z "$revision" ] || set -- "$@" --build-arg "CLIP_REVISION=$revision" ;;
  *) set -- "$@" --build-arg "CLIP_REVISION=$revision" ;;
esac
model=$(set_to previous_clip_model)
[ -z "$model" ] || set -- "$@" --build-arg "PREVIOUS_CLIP_MODEL=$model" \
  --build-arg "PREVIOUS_CLIP_REVISION=$(set_to previous_clip_revision)"

if [ -z "$tag" ]; then
  docker buildx build "$@" .
  exit
fi

mkdir -p "$(dirname "$file")"
# No attestation: the digest is then that of the image, and not of a list that it is in. A cache
# that cannot be written makes the next build slow, and fails none.
docker buildx build "$@" --cache-to "$cache,mode=max,ignore-error=true" --provenance=false \
  --tag "$repository/inference:$tag" --push --metadata-file "$file.json" .
digest=$(sed -n 's/.*"containerimage\.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$file.json")
if [ -z "$digest" ]; then
  echo "$file.json names no digest of the image" >&2
  exit 1
fi
echo "$repository/inference@$digest" >"$file"
cat "$file"
