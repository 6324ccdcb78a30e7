#!/bin/sh
# Plans what cloudbuild.yaml deploys, with what its step `deployment` read and `push` built, into build/plan and
# build/plan.json. The planner's account may read the state, but neither lock it nor look at what it is compared with.
#
# Usage: tools/plan_roll_out.sh PROJECT ENVIRONMENT STATE_BUCKET
set -eu
root=terraform/environments/$2
compared="-lock=false -refresh=false"
app_image=$(cat build/app_image 2>/dev/null || true)
[ ! -e build/deploy ] || compared=-lock-timeout=300s
# shellcheck disable=SC2086 # two arguments or one
terraform -chdir="$root" plan -input=false $compared -out=../../../build/plan \
  -var="project_id=$1" -var="region=$(cat build/region)" \
  -var="state_bucket=$3" -var="inference_profile=$(cat build/inference_profile)" \
  -var="inference_image=$(cat build/inference_image)" \
  ${app_image:+-var="app_image=$app_image"}
terraform -chdir="$root" show -json ../../../build/plan >build/plan.json
