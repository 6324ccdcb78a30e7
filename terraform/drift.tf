# When drift.yaml looks whether what is there is what the configuration says, and the alert on what it finds.
# A person makes its trigger, as those of cloudbuild.yaml: the repository is connected by hand.

locals {
  looks_for_drift = var.drift_schedule == null ? 0 : 1
}

resource "google_pubsub_topic" "drift" {
  count = local.looks_for_drift

  name         = "${local.name}-drift"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "scheduler_starts_drift" {
  count = local.looks_for_drift

  topic  = google_pubsub_topic.drift[0].id
  role   = "roles/pubsub.publisher"
  member = local.scheduler_agent
}

resource "google_cloud_scheduler_job" "looks_for_drift" {
  count = local.looks_for_drift

  name        = "${local.name}-looks-for-drift"
  description = "Has drift.yaml plan what is deployed"
  region      = var.region
  schedule    = var.drift_schedule
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.drift[0].id
    data       = base64encode("{}")
  }

  retry_config {
    retry_count = 5
  }

  depends_on = [google_pubsub_topic_iam_member.scheduler_starts_drift]
}

resource "google_monitoring_alert_policy" "drift" {
  count = local.looks_for_drift

  display_name          = "${local.name}: what is deployed has drifted"
  severity              = "WARNING"
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = "The weekly plan found changes, or failed"
    condition_matched_log {
      filter = <<-FILTER
        resource.type = "build"
        log_id("cloudbuild")
        textPayload : "gs://${var.state_bucket} has drifted"
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
    content = "What is there is not what the configuration says; the build's log says what differs. ${local.what_to_do}"
  }

  depends_on = [google_project_service.api]
}
