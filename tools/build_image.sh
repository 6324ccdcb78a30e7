#!/bin/sh
# Builds the image of the inference service or of the web app; with a tag, also keeps it in Docker, from where
# Cloud Build pushes it at its end, and keeps the layers for the next build. Cloud Build runs it in a container
# with Docker; cloudbuild.yaml says which. The models are those of the environment that the variable ENVIRONMENT
# names, else of prod.
#
# Usage: tools/build_image.sh inference|app REPOSITORY PROFILE [TAG]
set -eu
image=$1
repository=$2
profile=$3
tag=${4-}

case $profile in
  gpu | split) accelerator=cuda ;;
  cpu) accelerator=cpu ;;
  *)
    echo "the inference profile must be gpu, split or cpu, got $profile" >&2
    exit 1
    ;;
esac
case $image in
  inference) dockerfile=inference_service/Dockerfile ;;
  app) dockerfile=app/Dockerfile accelerator=cpu ;;
  *)
    echo "the image must be inference or app, got $image" >&2
    exit 1
    ;;
esac
cache=type=registry,ref=$repository-cache/$image:$accelerator

# Docker's own builder cannot keep the layers of all stages in a registry; BuildKit's container can. Of its own
# name, since the steps of a build share Docker.
docker buildx create --use --name "$image" --driver docker-container \
  --driver-opt image=moby/buildkit:buildx-stable-1@sha256:0039c1d47e8748b5afea56f4e85f14febaf34452bd99d9552d2daa82262b5cc5
set -- --builder "$image" --file "$dockerfile" --cache-from "$cache"

set_to() { # NAME: what the environment says of it on one line
  sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\"\([^\"]*\)\".*/\1/p" \
    "terraform/environments/${ENVIRONMENT:-prod}/main.tf"
}
if [ "$image" = inference ]; then
  set -- "$@" --build-arg "ACCELERATOR=$accelerator"
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
fi

if [ -z "$tag" ]; then
  docker buildx build "$@" .
  exit
fi

# Docker holds images without attestations alone; Cloud Build makes its own of what it pushes. A cache
# that cannot be written makes the next build slow, and fails none.
docker buildx build "$@" --cache-to "$cache,mode=max,ignore-error=true" --provenance=false \
  --tag "$repository/$image:$tag" --load .
