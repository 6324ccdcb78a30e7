# Buckets of somebody's pictures as collections: who may read them, what tells of changes, and a look each
# week for what no message told. Nothing here writes to such a bucket.

locals {
  # A prefix is a folder: `photos` is `photos/`, and has nothing of `photos-of-others/`.
  collections = { for name, one in var.collections : name => {
    bucket         = one.bucket
    prefix         = one.prefix == "" ? "" : "${trimsuffix(one.prefix, "/")}/"
    root           = trimsuffix("gs://${one.bucket}/${one.prefix}", "/")
    keep_place     = one.keep_place
    project_number = one.project_number == null ? local.this_project : one.project_number
  } }
  has_collections = length(var.collections) > 0
  this_project    = "this"

  bucket_agents = { for number in toset([for one in values(local.collections) : one.project_number]) : number => (
    number == local.this_project
    ? data.google_storage_project_service_account.this[0].member
    : "serviceAccount:service-${number}@gs-project-accounts.iam.gserviceaccount.com"
  ) }
}

# Reading it makes the agent, where there was none.
data "google_storage_project_service_account" "this" {
  count = var.kms_key != null || contains([for one in values(local.collections) : one.project_number], local.this_project) ? 1 : 0

  project = var.project_id
}

# Cloud Storage publishes as the agent of the bucket's project, and tries it out when it is told to.
resource "google_pubsub_topic_iam_member" "bucket_agent_publishes_events" {
  for_each = local.bucket_agents

  topic  = google_pubsub_topic.work["bucket-events"].id
  role   = "roles/pubsub.publisher"
  member = each.value
}

resource "google_storage_notification" "collection" {
  for_each = local.collections

  bucket             = each.value.bucket
  object_name_prefix = each.value.prefix == "" ? null : each.value.prefix
  topic              = google_pubsub_topic.work["bucket-events"].id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_ARCHIVE", "OBJECT_DELETE", "OBJECT_FINALIZE"]

  # A topic without a subscription drops what it is told, and an inference service of before there were
  # collections would write embeddings that no search of one finds.
  depends_on = [
    google_cloud_run_v2_service.inference,
    google_pubsub_subscription.work,
    google_pubsub_topic_iam_member.bucket_agent_publishes_events,
  ]
}

# Names are listed of a whole bucket, whatever the prefix: listing is asked of the bucket, and a condition on
# objects would refuse it. That `storage.googleapis.com/objectListPrefix` may stand in the condition of
# a grant, and not only of an access boundary, was not found to be said by Google, read 2026-11.
resource "google_storage_bucket_iam_member" "fetch_lists_collections" {
  for_each = toset([for one in values(local.collections) : one.bucket])

  bucket = each.key
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.fetch.member
}

# What is in the objects, of the prefix alone. With a condition, Cloud Storage asks for uniform access.
resource "google_storage_bucket_iam_member" "fetch_reads_collections" {
  for_each = local.collections

  bucket = each.value.bucket
  role   = "roles/storage.legacyObjectReader"
  member = google_service_account.fetch.member

  dynamic "condition" {
    for_each = each.value.prefix == "" ? [] : [each.value]
    content {
      title      = "${local.name}-collection-${substr(sha256(each.key), 0, 8)}"
      expression = "resource.name.startsWith(${jsonencode("projects/_/buckets/${condition.value.bucket}/objects/${condition.value.prefix}")})"
    }
  }
}

# Its first page; imagesearch/usecases/collect.py has the others done.
resource "google_cloud_scheduler_job" "updates_collection" {
  for_each = local.collections

  name        = "${local.name}-updates-${substr(sha256(each.key), 0, 8)}"
  description = "Brings the collection ${each.key} up to date with its bucket"
  region      = var.region
  schedule    = var.collections_schedule
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.work["collect-jobs"].id
    data = base64encode(jsonencode({
      schema_version = 1
      collection     = each.key
      root           = each.value.root
      keeps_place    = each.value.keep_place
      request        = 0 # a new one
      after          = ""
    }))
    attributes = {
      schema_version = "1"
      kind           = "CollectJob"
    }
  }

  retry_config {
    retry_count = 5
  }

  depends_on = [
    google_cloud_run_v2_service.inference,
    google_pubsub_topic_iam_member.scheduler_publishes_collect_jobs,
  ]
}

resource "google_pubsub_topic_iam_member" "scheduler_publishes_collect_jobs" {
  count = local.has_collections ? 1 : 0

  topic  = google_pubsub_topic.work["collect-jobs"].id
  role   = "roles/pubsub.publisher"
  member = local.scheduler_agent
}

# Of each page the next one.
resource "google_pubsub_topic_iam_member" "fetch_publishes_collect_jobs" {
  topic  = google_pubsub_topic.work["collect-jobs"].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.fetch.member
}
