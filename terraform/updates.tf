# When update.yaml raises what is pinned and tests it, the account that it does so as, and the alert on what comes
# of it. A person makes its trigger, as those of cloudbuild.yaml: the repository is connected by hand.

locals {
  makes_updates = var.update_schedule == null ? 0 : 1
}

# It runs what others published a day ago, and so may do nothing but write its log and leave an update behind.
resource "google_service_account" "updater" {
  count = local.makes_updates

  account_id   = "${local.name}-updater"
  display_name = "${local.name}: Cloud Build, for new versions of what is pinned"

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "updater_writes_log" {
  count = local.makes_updates

  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.updater[0].member
}

resource "google_storage_bucket_iam_member" "updater_leaves_updates" {
  count = local.makes_updates

  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.updater[0].member

  condition {
    title      = "${local.name}-updates-only"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.sources.name}/objects/updates/\")"
  }
}

# gcloud storage cp lists what is at the address that it writes to, and listing is asked of the bucket:
# cloud.google.com/storage/docs/access-control/iam-gcloud, read 2026-11. No object is read by it.
resource "google_storage_bucket_iam_member" "updater_lists_sources" {
  count = local.makes_updates

  bucket = google_storage_bucket.sources.name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.updater[0].member
}

resource "google_pubsub_topic" "updates" {
  count = local.makes_updates

  name         = "${local.name}-updates"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "scheduler_starts_updates" {
  count = local.makes_updates

  topic  = google_pubsub_topic.updates[0].id
  role   = "roles/pubsub.publisher"
  member = local.scheduler_agent
}

resource "google_cloud_scheduler_job" "makes_updates" {
  count = local.makes_updates

  name        = "${local.name}-makes-updates"
  description = "Has update.yaml raise and test what is pinned"
  region      = var.region
  schedule    = var.update_schedule
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.updates[0].id
    data       = base64encode("{}")
  }

  retry_config {
    retry_count = 5
  }

  depends_on = [google_pubsub_topic_iam_member.scheduler_starts_updates]
}

resource "google_monitoring_alert_policy" "updates" {
  count = local.makes_updates

  display_name          = "${local.name}: an update waits"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = "An update was tested, or could not be made"
    condition_matched_log {
      filter = <<-FILTER
        resource.type = "build"
        log_id("cloudbuild")
        textPayload : "An update of gs://${google_storage_bucket.sources.name}"
      FILTER
    }
  }

  # A log alert must say how often it may be sent.
  alert_strategy {
    auto_close = "1800s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "Newer versions of what is pinned were tested; the build's log says where the patch is, or what failed. ${local.what_to_do}"
  }

  depends_on = [google_project_service.api]
}
