#!/bin/sh
# Has Cloud Build build the inference service's image, push it and record how it was built; adds what is in it
# (its SBOM) to what Artifact Analysis knows of it, and writes its name by digest to a file. A build of its own,
# since Cloud Build makes provenance of what a build names as its `images` alone, which it pushes when that
# build ends: docs/decisions/0090-what-is-known-of-an-image.md.
#
# Usage: tools/submit_image.sh PROJECT ENVIRONMENT REPOSITORY PROFILE TAG SOURCES_BUCKET DEPLOYER FILE
set -eu
project=$1
environment=$2
repository=$3
profile=$4
tag=$5
sources_bucket=$6
deployer=$7
file=$8

gcloud builds submit --project="$project" --config=inference_service/cloudbuild.yaml --suppress-logs \
  --service-account="projects/$project/serviceAccounts/$deployer" \
  --gcs-source-staging-dir="gs://$sources_bucket/build-sources" \
  --substitutions="_REPOSITORY=$repository,_TAG=$tag,_PROFILE=$profile,_ENVIRONMENT=$environment,_SOURCES_BUCKET=$sources_bucket" .

digest=$(gcloud artifacts docker images describe "$repository/inference:$tag" --format='value(image_summary.digest)')
case $digest in
  sha256:*) ;;
  *)
    echo "the registry names no digest of $repository/inference:$tag, got \"$digest\"" >&2
    exit 1
    ;;
esac

mkdir -p "$(dirname "$file")"
gcloud storage cp "gs://$sources_bucket/sboms/$tag.spdx.json" "$file.spdx.json"
gcloud artifacts sbom load --project="$project" --source="$file.spdx.json" \
  --uri="$repository/inference@$digest" --destination="gs://$sources_bucket/sboms"

echo "$repository/inference@$digest" >"$file"
cat "$file"
