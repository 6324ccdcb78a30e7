#!/usr/bin/env bash
# Deploys to a project that has nothing yet, and applies what Cloud Build may not (decision 0020).
# Safe to run again, after a failure too: what is there is kept, and what has not changed is not
# built. Region and profile stay what they were; the first time, they are europe-west4 and split.
# Everything else but the project is in terraform/environments/ENVIRONMENT/main.tf. With --yes nobody is asked,
# and a plan that ends what is stored is refused.
#
# Usage: tools/first_deployment.sh --project=ID [--environment=prod|dev] [--region=REGION]
#                                  [--profile=split|gpu|cpu] [--yes] [--dry-run]
set -euo pipefail
cd "$(dirname "$0")/.."

project='' environment=prod region='' profile='' yes='' dry_run=''
for argument in "$@"; do
  case $argument in
    --project=?*) project=${argument#*=} ;;
    --environment=?*) environment=${argument#*=} ;;
    --region=?*) region=${argument#*=} ;;
    --profile=split | --profile=gpu | --profile=cpu) profile=${argument#*=} ;;
    --yes) yes=yes ;;
    --dry-run) dry_run=yes ;;
    *)
      sed -n '/^# Usage/,/^set/s/^# //p' "$0" >&2
      echo "unknown argument: $argument" >&2
      exit 2
      ;;
  esac
done
if [ -z "$project" ]; then
  echo "--project=ID is missing: the id of an empty project with billing" >&2
  exit 2
fi

root=terraform/environments/$environment
if [ ! -f "$root/main.tf" ]; then
  echo "--environment must be one of $(cd terraform/environments && echo */ | tr -d /), got $environment" >&2
  exit 2
fi
if [ -f terraform/terraform.tfvars ]; then
  echo "terraform/terraform.tfvars is no longer read: put its lines into the module block of $root/main.tf" \
    "(budget into its locals), and remove it." >&2
  exit 2
fi
name=$(sed -n 's/^  name *= *"\(.*\)"$/\1/p' "$root/main.tf")
if [ -z "$name" ]; then
  echo "$root/main.tf has no line such as: name = \"imagesearch\"" >&2
  exit 2
fi
state_bucket=$project-$name-state
sources_bucket=$project-$name-sources
key_secret=$name-pixabay-key
deployer=$name-deployer@$project.iam.gserviceaccount.com
# Terraform turns on the others; it cannot turn on those that it needs to do so, and Pub/Sub's agent
# is made before it runs.
apis="cloudresourcemanager cloudscheduler iam pubsub serviceusage storage"

do_it() { # prints a command that changes something, and runs it unless this is a dry run
  printf '+ %s\n' "$*"
  [ -n "$dry_run" ] || "$@"
}

there() { # a question to Google, whose answer is no in a dry run: that prints a first deployment
  [ -z "$dry_run" ] && "$@" >/dev/null 2>&1
}

check_tools() {
  local tool
  for tool in gcloud terraform python3 git; do
    command -v "$tool" >/dev/null || {
      echo "$tool is not installed" >&2
      exit 1
    }
  done
  if ! there gcloud auth application-default print-access-token && [ -z "$dry_run" ]; then
    echo "Terraform has no credentials: gcloud auth application-default login" >&2
    exit 1
  fi
}

storage_is_off() {
  local enabled
  enabled=$(gcloud services list --enabled --project="$project" --format='value(config.name)') &&
    ! grep -qx storage.googleapis.com <<<"$enabled"
}

find_state_bucket() { # by the list of our project's: anyone can make a bucket of a name that is free
  # Not asked with `there`: a failure to list says nothing of whose it is. A new project may not have
  # the API to do so, which gcloud would offer to turn on.
  local listed=''
  [ -n "$dry_run" ] || listed=$(gcloud storage buckets list --project="$project" \
    --filter="name=$state_bucket" --format='value(name)' --quiet) || storage_is_off || {
    echo "The buckets of the project $project could not be listed, for what is said above:" \
      "whether gs://$state_bucket is its own is not known, and nothing was made." >&2
    exit 1
  }
  state_there=${listed:+yes}
}

refuse_state_bucket() {
  echo "gs://$state_bucket is no bucket of the project $project. If the name is taken, somebody else has" \
    "it, who could read the passwords in Terraform's state and decide what runs: nothing is put there." \
    "Another project has other names: --project=ID." >&2
  exit 1
}

init() { # -reconfigure: this checkout may have been used for another project
  do_it terraform -chdir="$root" init -input=false -reconfigure \
    -backend-config="bucket=$state_bucket"
}

deployed() { # OUTPUT... of the deployment that there is, each on a line, empty where there is none
  python3 -c 'import json, sys
found = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    print(found.get(name, {}).get("value", ""))' "$outputs" "$@"
}

# Nothing has kept of an earlier version which key it was made with, and another one makes the database anew.
refuse_with_the_move() {
  [ -n "$was_elsewhere" ] || return 0
  local later=''
  [ -z "$(key_agents)" ] || later=kms_key
  ! has_app || [ -n "$app_image" ] || later="${later:+$later and }app_enabled"
  [ -z "$later" ] || {
    echo "What an earlier version deployed is brought up to this one first: take $later out of $root/main.tf," \
      "run this, and put it back then." >&2
    exit 2
  }
}

settle_place() {
  local outputs='{}'
  # Not asked with `there`: a failure to read is no first deployment.
  [ -z "$state_there" ] || outputs=$(terraform -chdir="$root" output -json)
  local sources='' share=''
  {
    read -r was_region
    read -r was_profile
    read -r was_image
    read -r app_image
    read -r sources
    read -r share
  } < <(deployed region inference_profile inference_image app_image sources_bucket new_revision_percent)
  was_elsewhere=''
  # The outputs of what is moved: none of them is there before.
  [ -z "$was_image" ] || { [ -n "$sources" ] && [ -n "$share" ]; } ||
    was_elsewhere=yes
  refuse_with_the_move
  region=${region:-${was_region:-europe-west4}}
  profile=${profile:-${was_profile:-split}}
  if [ "$region" != "${was_region:-$region}" ]; then
    echo "$name is deployed in $was_region; in $region all of it would be made anew, without" \
      "its data. Leave --region out, or take it down first: docs/deploy.md says how." >&2
    exit 2
  fi
  echo "Project $project, environment $environment, region $region, profile $profile"
  [ "$profile" = "${was_profile:-$profile}" ] ||
    echo "The profile is $was_profile now: this changes the inference services."
  [ "$profile" = "$was_profile" ] || python3 -m tools.costs --profiles
}

ask() { # before anything is made; what Terraform then makes of the rest, it shows and asks itself
  cat <<END
This makes what is not there yet, and some of it costs money:
  the APIs $apis, and those of terraform/services.tf
  the bucket $state_bucket of Terraform's state
  the registry and the buckets, the database, the topics, the accounts and what each of them may do
  the secret of the Pixabay key, and with a Memorystore that of its AUTH string
  a version of the key's secret, from PIXABAY_API_KEY or as you type it
  the image of the inference service, and with app_enabled that of the web app, which Cloud Build builds and stores
END
  if [ -n "$dry_run$yes" ]; then
    return
  fi
  local answer=''
  read -rp "Go on with the profile $profile? Type yes, or another profile: " answer || true
  case $answer in
    yes) ;;
    split | gpu | cpu) profile=$answer ;;
    *)
      echo "nothing was made" >&2
      exit 1
      ;;
  esac
}

enable_apis() {
  local enabled='' missing=() api
  # Only what is built while it is on is attested.
  [ -z "$(attested)" ] || apis="$apis binaryauthorization"
  [ -n "$dry_run" ] ||
    enabled=$(gcloud services list --enabled --project="$project" --format='value(config.name)')
  for api in $apis $(door_agents) $(key_agents); do
    grep -qx "$api.googleapis.com" <<<"$enabled" || missing+=("$api.googleapis.com")
  done
  [ ${#missing[@]} -eq 0 ] || do_it gcloud services enable "${missing[@]}" --project="$project"
}

make_state_bucket() {
  do_it gcloud storage buckets create "gs://$state_bucket" --project="$project" \
    --location="$region" --uniform-bucket-level-access --public-access-prevention ||
    refuse_state_bucket
}

keep_earlier_states() {
  local versioned=''
  [ -n "$dry_run" ] ||
    versioned=$(gcloud storage buckets describe "gs://$state_bucket" --format='value(versioning_enabled)')
  [ "$versioned" = True ] || do_it gcloud storage buckets update "gs://$state_bucket" --versioning
}

package_functions() {
  local name
  do_it sh tools/build_docs.sh # which the query function serves beside the page
  for name in query fetch; do
    do_it python3 -m tools.package_function "$name" --output "build/$name.zip"
  done
}

ends_data() { # of the plan in build/plan; says so
  [ -n "$state_there" ] || return 1 # nor is there anything in a dry run
  terraform -chdir="$root" show -json "$PWD/build/plan" >build/plan.json || exit 1
  ! python3 -m tools.check_plan --data build/plan.json
}

apply() { # quietly|asking IMAGE ARGUMENT...
  local how=$1 variables
  variables=(-var="project_id=$project" -var="region=$region" -var="state_bucket=$state_bucket"
    -var="inference_profile=$profile" -var="inference_image=$2" ${app_image:+-var="app_image=$app_image"})
  shift 2
  if [ "$how" = quietly ]; then
    mkdir -p build
    do_it terraform -chdir="$root" plan -input=false -out="$PWD/build/plan" "$@" "${variables[@]}"
    if ! ends_data; then
      do_it terraform -chdir="$root" apply -input=false "$PWD/build/plan"
      return
    fi
    [ -z "$yes" ] || {
      echo "With --yes that is refused, and nothing of this plan was applied: without it, Terraform shows it and asks." >&2
      exit 1
    }
  fi
  do_it terraform -chdir="$root" apply -input=false "$@" "${variables[@]}"
}

existing() { # of the files on standard input
  local file
  while IFS= read -r file; do
    [ ! -f "$file" ] || echo "$file"
  done
}

# Named for what is in it, so that a second run finds what the first one built.
image_tag() { # inference|app
  local files variant=cuda sources=(imagesearch inference_service models .dockerignore)
  [ "$1" != app ] || sources=(app)
  [ "$1" = inference ] && [ "$profile" != cpu ] || variant=cpu
  files=$(git ls-files --cached --others --exclude-standard -- "${sources[@]}" | sort -u | existing)
  files=$({
    echo "$files" && git hash-object --stdin-paths <<<"$files"
    [ "$1" = app ] || models
    attested
  } | git hash-object --stdin)
  echo "${files:0:16}-$variant"
}

models() { # that the environment has put into the image
  grep -E '^[[:space:]]*(previous_)?clip_(model|revision)[[:space:]]*=' "$root/main.tf" ||
    true
}

attested() { # what asks for an attestation, which an image of before has none of
  grep -E '^[[:space:]]*binary_authorization[[:space:]]*=[[:space:]]*[{]' "$root/main.tf" ||
    true
}

image_there() { # inference|app
  there gcloud artifacts docker images describe "$repository/$1:$(image_tag "$1")"
}

images_there() {
  image_there inference && { ! has_app || image_there app; }
}

uses_pixabay() { # as it does unless `image_sources`, on one line, leaves it out
  local sources
  sources=$(grep -hE '^[[:space:]]*image_sources[[:space:]]*=' "$root/main.tf") ||
    return 0
  [[ $sources == *'"pixabay"'* ]]
}

door() { # as the environment has it, on one line
  local named
  named=$(sed -nE 's/^[[:space:]]*door[[:space:]]*=[[:space:]]*"(.*)".*/\1/p' "$root/main.tf")
  echo "${named:-everyone}"
}

door_agents() { # that call the query function where people sign in
  [ "$(door)" != iap ] || echo iap monitoring
}

has_line() { # PATTERN of a setting of the environment, which is on one line
  grep -qE "^[[:space:]]*$1" "$root/main.tf"
}

has_app() {
  has_line 'app_enabled[[:space:]]*=[[:space:]]*true'
}

key_agents() { # that encrypt with a key of one's own (terraform/kms_key.tf)
  has_line 'kms_key[[:space:]]*=[[:space:]]*"' || return 0
  echo artifactregistry cloudfunctions eventarc firestore run secretmanager
  ! has_line 'memorystore_enabled[[:space:]]*=[[:space:]]*true' || echo redis
  ! has_line 'library[[:space:]]*=[[:space:]]*"postgres"' || echo sqladmin
}

settle_door() { # Cloud Functions has no setting for whether its service checks who calls (decision 0092)
  local unchecked='' wanted=--invoker-iam-check service=$name-query
  [ -n "$dry_run" ] || unchecked=$(gcloud run services describe "$service" --region="$region" --project="$project" \
    --format="value(metadata.annotations['run.googleapis.com/invoker-iam-disabled'])")
  if [ "$(door)" = everyone_unchecked ]; then
    wanted=--no-invoker-iam-check
    [ "$unchecked" != true ] || return 0
  else
    [ "$unchecked" = true ] || return 0
  fi
  do_it gcloud run services update "$service" "$wanted" --region="$region" --project="$project"
}

key_there() { # a version, without which the fetch function cannot be made
  [ -z "$dry_run" ] && [ -n "$(gcloud secrets versions list "$key_secret" --project="$project" \
    --filter=state=ENABLED --format='value(name)' 2>/dev/null)" ]
}

make_agent() { # of an API: of itself it is there once the API is first used
  do_it gcloud beta services identity create --service="$1.googleapis.com" --project="$project"
}

make_other_agents() { # each time, as door and key may be other ones than at the first deployment
  local each
  for each in $(door_agents) $(key_agents); do
    make_agent "$each"
  done
}

no_image() { # inference|app
  echo "$repository/$1@sha256:$(printf '0%.0s' {1..64})"
}

prepare() { # what the image and the key are put into, the rights to do so, region and profile
  local targets=(
    -target=module.imagesearch.google_artifact_registry_repository_iam_member.deployer_pushes
    -target=module.imagesearch.google_storage_bucket_iam_member.deployer_writes_state
    -target=module.imagesearch.google_project_iam_member.deployer
    -target=module.imagesearch.google_storage_bucket_iam_member.deployer_uploads_archives
    -target=module.imagesearch.google_secret_manager_secret.pixabay_key
  )
  # What is deployed keeps its profile until its services have another.
  [ -n "$was_region" ] || targets+=(
    -target=module.imagesearch.terraform_data.deployment
  )
  # A right takes minutes to spread, and the image about as long to be built: before the first one,
  # whatever is built or starts after it is given its rights. To what runs, nothing is done here.
  [ -n "$was_image" ] || targets+=(
    -target=module.imagesearch.google_artifact_registry_repository_iam_member.build_writes
    -target=module.imagesearch.google_logging_metric.ready_search_seconds # as terraform/objectives.tf says
    -target=module.imagesearch.google_project_iam_member.build
    -target=module.imagesearch.google_project_iam_member.workload_uses_catalog
    -target=module.imagesearch.google_pubsub_topic_iam_member.agent_publishes_dead_letters
    -target=module.imagesearch.google_pubsub_topic_iam_member.fetch_publishes_collect_jobs
    -target=module.imagesearch.google_pubsub_topic_iam_member.fetch_publishes_embed_batches
    -target=module.imagesearch.google_pubsub_topic_iam_member.query_publishes_fetch_jobs
    -target=module.imagesearch.google_secret_manager_secret_iam_member.fetch_reads_pixabay_key
    -target=module.imagesearch.google_secret_manager_secret_iam_member.query_reads_api_key
    -target=module.imagesearch.google_secret_manager_secret_iam_member.workload_reads_database_url
    -target=module.imagesearch.google_secret_manager_secret_iam_member.workload_reads_redis_auth
    -target=module.imagesearch.google_service_account_iam_member.agent_mints_push_tokens
    -target=module.imagesearch.google_storage_bucket_iam_member.fetch_lists_collections
    -target=module.imagesearch.google_storage_bucket_iam_member.fetch_reads_collections
    -target=module.imagesearch.google_storage_bucket_iam_member.fetch_writes_images
    -target=module.imagesearch.google_storage_bucket_iam_member.inference_reads_images
    -target=module.imagesearch.google_storage_bucket_iam_member.query_reads_images
  )
  # Google makes these accounts when it is asked for them, and Terraform grants them rights.
  local each
  for each in pubsub cloudscheduler; do
    make_agent "$each"
  done
  # Terraform asks for an image even here, where nothing has one.
  apply quietly "$(no_image inference)" "${targets[@]}"
}

add_key() { # from PIXABAY_API_KEY or the terminal; it is never printed
  local key=${PIXABAY_API_KEY:-}
  if [ -z "$key" ] && [ -z "$dry_run" ]; then
    read -rsp "Key of the Pixabay API, as https://pixabay.com/api/docs/ shows it: " key || true
    echo
  fi
  if [ -z "$key" ] && [ -z "$dry_run" ]; then
    echo "without a key of the Pixabay API there is nothing to search" >&2
    exit 1
  fi
  do_it gcloud secrets versions add "$key_secret" --project="$project" --data-file=- \
    < <(printf %s "$key")
}

build_image() { # inference|app, unless it is there
  ! image_there "$1" || return 0
  do_it sh tools/submit_image.sh "$1" "$project" "$environment" "$repository" "$profile" "$(image_tag "$1")" \
    "$sources_bucket" "$deployer" "build/$1_image" || {
    echo "A new account's rights take some minutes to spread: if they were missing, run this again." >&2
    exit 1
  }
}

built_image() { # inference|app, by its digest
  local digest=sha256:DIGEST
  [ -n "$dry_run" ] || digest=$(gcloud artifacts docker images describe "$repository/$1:$(image_tag "$1")" \
    --format='value(image_summary.digest)')
  echo "$repository/$1@$digest"
}

sha256() { # FILE
  python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

upload_archives() {
  local name object hash=SHA256
  for name in query fetch; do
    [ -n "$dry_run" ] || hash=$(sha256 "build/$name.zip")
    object=gs://$sources_bucket/$name-$hash.zip
    there gcloud storage objects describe "$object" ||
      do_it gcloud storage cp "build/$name.zip" "$object"
  done
}

shift_traffic() { # hold, share or promote
  do_it python3 -m tools.roll_out "$1" --environment="$environment"
}

# What is new gets its share when all of it is there. A change from split deletes the scorer, though, which what
# serves calls: what is new then serves as soon as it starts.
settle_traffic() {
  if [ "$was_profile" = split ] && [ "$profile" != split ]; then
    shift_traffic promote
  else
    shift_traffic hold
  fi
}

check_tools
state_there=''
find_state_bucket
if [ -n "$state_there" ]; then
  init
elif there gcloud storage buckets describe "gs://$state_bucket"; then
  refuse_state_bucket
fi
settle_place

repository=$region-docker.pkg.dev/$project/$name
[ -n "$app_image" ] || ! has_app || app_image=$(no_image app)

prepared=''
images_there && { ! uses_pixabay || key_there; } && prepared=yes
[ -n "$prepared" ] || ask
enable_apis
if [ -z "$state_there" ]; then
  make_state_bucket
  init
fi
keep_earlier_states
make_other_agents
package_functions
how=asking
[ -z "$yes" ] || how=quietly
# What an earlier version deployed moves, before there were environments into its module, which takes a
# whole apply: Terraform refuses to move a part.
if [ -n "$was_elsewhere" ]; then
  upload_archives
  apply "$how" "$was_image"
fi
[ -n "$prepared" ] || prepare
! uses_pixabay || key_there || add_key
build_image inference
if has_app; then
  build_image app
  app_image=$(built_image app)
fi
inference_image=$(built_image inference)
upload_archives
[ -z "$was_image" ] || settle_traffic # before the plan, which reads what is so
apply "$how" "$inference_image"
settle_door
shift_traffic share
do_it terraform -chdir="$root" output
