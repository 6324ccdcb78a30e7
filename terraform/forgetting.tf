# What nobody used is forgotten: once a day, within a budget that imagesearch/usecases/forget.py has.

locals {
  forgets_unused = var.retention_days > 0
}

resource "google_cloud_scheduler_job" "forgets_unused" {
  count = local.forgets_unused ? 1 : 0

  name        = "${local.name}-forgets-unused"
  description = "Has what nobody used for ${var.retention_days} days forgotten"
  region      = var.region
  schedule    = "17 3 * * *" # when few search; a day that is missed is made up for by the next
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.work["forget-jobs"].id
    data = base64encode(jsonencode({
      schema_version = 1
      unused_days    = var.retention_days
    }))
    attributes = {
      schema_version = "1"
      kind           = "ForgetJob"
    }
  }

  retry_config {
    retry_count = 5
  }

  depends_on = [google_pubsub_topic_iam_member.scheduler_publishes_forget_jobs]
}

# Scheduler's own agent publishes, see topics.tf.
resource "google_pubsub_topic_iam_member" "scheduler_publishes_forget_jobs" {
  count = local.forgets_unused ? 1 : 0

  topic  = google_pubsub_topic.work["forget-jobs"].id
  role   = "roles/pubsub.publisher"
  member = local.scheduler_agent
}
