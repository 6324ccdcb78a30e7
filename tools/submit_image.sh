#!/bin/sh
# Has Cloud Build build the image of the inference service or of the web app, push it and record how it was built;
# adds what is in it (its SBOM) to what Artifact Analysis knows of it, and writes its name by digest to a file. A
# build of its own, since Cloud Build makes provenance of what a build names as its `images` alone, which it pushes
# when that build ends: docs/decisions/0090-what-is-known-of-an-image.md.
#
# Usage: tools/submit_image.sh inference|app PROJECT ENVIRONMENT REPOSITORY PROFILE TAG SOURCES_BUCKET DEPLOYER FILE
set -eu
image=$1
project=$2
environment=$3
repository=$4
profile=$5
tag=$6
sources_bucket=$7
deployer=$8
file=$9

gcloud builds submit --project="$project" --config=image.yaml --suppress-logs \
  --service-account="projects/$project/serviceAccounts/$deployer" \
  --gcs-source-staging-dir="gs://$sources_bucket/build-sources" \
  --substitutions="_IMAGE=$image,_REPOSITORY=$repository,_TAG=$tag,_PROFILE=$profile,_ENVIRONMENT=$environment,_SOURCES_BUCKET=$sources_bucket" .

digest=$(gcloud artifacts docker images describe "$repository/$image:$tag" --format='value(image_summary.digest)')
case $digest in
  sha256:*) ;;
  *)
    echo "the registry names no digest of $repository/$image:$tag, got \"$digest\"" >&2
    exit 1
    ;;
esac

mkdir -p "$(dirname "$file")"
gcloud storage cp "gs://$sources_bucket/sboms/$image-$tag.spdx.json" "$file.spdx.json"
gcloud artifacts sbom load --project="$project" --source="$file.spdx.json" \
  --uri="$repository/$image@$digest" --destination="gs://$sources_bucket/sboms"

echo "$repository/$image@$digest" >"$file"
cat "$file"
