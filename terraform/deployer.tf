# Cloud Build's two accounts. The deployer rolls out what is on the main branch; what changes the
# structure is applied by a person. The planner tests and plans what anyone proposes. See
# docs/decisions/0020-the-deployer-rolls-out-code.md.

resource "google_service_account" "deployer" {
  account_id   = "${local.name}-deployer"
  display_name = "${local.name}: Cloud Build"

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "deployer_pushes" {
  for_each = {
    images = google_artifact_registry_repository.images.name
    cache  = google_artifact_registry_repository.cache.name
  }

  repository = each.value
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.deployer.member
}

resource "google_storage_bucket_iam_member" "deployer_uploads_archives" {
  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member
}

resource "google_storage_bucket_iam_member" "deployer_writes_state" {
  count = var.state_bucket == null ? 0 : 1

  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member
}

resource "google_cloud_run_v2_service_iam_member" "deployer_updates_inference" {
  for_each = google_cloud_run_v2_service.inference

  name     = each.value.name
  location = var.region
  role     = "roles/run.developer"
  member   = google_service_account.deployer.member
}

# A function's traffic is that of the Cloud Run service of its name.
resource "google_cloud_run_v2_service_iam_member" "deployer_shifts_traffic" {
  for_each = {
    query = google_cloudfunctions2_function.query.name
    fetch = google_cloudfunctions2_function.fetch.name
  }

  name     = each.value
  location = var.region
  role     = "roles/run.developer"
  member   = google_service_account.deployer.member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.query.id, google_cloudfunctions2_function.fetch.id]
  }
}

resource "google_cloudfunctions2_function_iam_member" "deployer_updates_function" {
  for_each = {
    query = google_cloudfunctions2_function.query.name
    fetch = google_cloudfunctions2_function.fetch.name
  }

  cloud_function = each.value
  location       = var.region
  role           = "roles/cloudfunctions.developer"
  member         = google_service_account.deployer.member
}

# A new revision runs as its workload's account, and is built as the builder's; the build of an image, which it
# submits, runs as itself.
resource "google_service_account_iam_member" "deployer_acts_as" {
  for_each = merge(local.workloads, { build = google_service_account.build, deployer = google_service_account.deployer })

  # Written out, so that it has the form that the provider asks for where Google is mocked, too.
  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value.account_id}@${var.project_id}.iam.gserviceaccount.com"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer.member
}

# A plan reads back the version that holds the AUTH string. Not the Pixabay key: that is no version
# of Terraform's.
resource "google_secret_manager_secret_iam_member" "deployer_reads_redis_auth" {
  count = var.memorystore_enabled ? 1 : 0

  secret_id = google_secret_manager_secret.redis_auth[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.deployer.member
}

# So it does the version that holds the password of the database.
resource "google_secret_manager_secret_iam_member" "deployer_reads_database_url" {
  count = local.has_postgres ? 1 : 0

  secret_id = google_secret_manager_secret.database_url[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.deployer.member
}

resource "google_billing_account_iam_member" "deployer_reads_budget" {
  count = var.budget == null || var.state_bucket == null ? 0 : 1

  billing_account_id = var.budget.billing_account
  role               = "roles/billing.viewer"
  member             = google_service_account.deployer.member
}

# A plan compares everything with what is there. These roles read settings, grants and metrics, no
# image, message, document, log or key, and change nothing, but for the log that a build writes, the builds that
# it submits, and what is known of an image; a consumer may also have the project asked on its account, as
# the budget's API wants it. Of a build: cloud.google.com/build/docs/iam-roles-permissions; of what is known of an
# image: cloud.google.com/artifact-analysis/docs/upload-sboms, read 2026-11.
resource "google_project_iam_member" "deployer" {
  for_each = toset(concat(local.has_postgres ? ["roles/cloudsql.viewer"] : [], local.makes_policy ? ["roles/binaryauthorization.policyViewer"] : [], [
    "roles/browser",
    "roles/cloudbuild.builds.editor",
    "roles/cloudfunctions.viewer",
    "roles/cloudscheduler.viewer",
    "roles/compute.viewer",
    "roles/containeranalysis.notes.attacher",
    "roles/containeranalysis.notes.editor",
    "roles/containeranalysis.occurrences.editor",
    "roles/iam.securityReviewer",
    "roles/logging.logWriter",
    "roles/monitoring.viewer",
    "roles/pubsub.viewer",
    "roles/redis.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageConsumer",
  ]))

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
}

# What has no viewer's role that leaves the data out. The one thing here that opens a door is the AUTH
# string, which a plan reads back with the Memorystore that it belongs to.
resource "google_project_iam_custom_role" "deployer_reads" {
  role_id = "${local.word}DeployerReads"
  title   = "${local.name}: what a plan reads besides"
  permissions = [
    "datastore.backupSchedules.get",
    "datastore.backupSchedules.list",
    "datastore.databases.getMetadata",
    "datastore.indexes.get",
    "datastore.indexes.list",
    "iam.roles.get",
    "iam.serviceAccounts.get",
    "logging.exclusions.get",
    "logging.logMetrics.get",
    "redis.instances.getAuthString",
    "storage.buckets.get",
  ]

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "deployer_reads_the_rest" {
  project = var.project_id
  role    = google_project_iam_custom_role.deployer_reads.id
  member  = google_service_account.deployer.member
}

# Whoever proposes a change proposes cloudbuild.yaml too, and so does whatever this account may do. It
# plans from the state alone, without looking at what is there.
resource "google_service_account" "planner" {
  account_id   = "${local.name}-planner"
  display_name = "${local.name}: Cloud Build, for what is not yet on the main branch"

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "planner_reads_state" {
  count = var.state_bucket == null ? 0 : 1

  bucket = var.state_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.planner.member
}

resource "google_artifact_registry_repository_iam_member" "planner_reads_cache" {
  repository = google_artifact_registry_repository.cache.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.planner.member
}

# The project's number, the log of the build, and again the consumer.
resource "google_project_iam_member" "planner" {
  for_each = toset([
    "roles/browser",
    "roles/logging.logWriter",
    "roles/serviceusage.serviceUsageConsumer",
  ])

  project = var.project_id
  role    = each.value
  member  = google_service_account.planner.member
}
