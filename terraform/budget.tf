# Tells people what the month costs, and the fetch function, where new work is to stop once it is spent.

locals {
  budget_stops = try(var.budget.stops_new_work, false) ? 1 : 0
}

resource "google_billing_budget" "month" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${local.name} in ${var.project_id}"

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.monthly_amount)
    }
  }

  threshold_rules { threshold_percent = 0.5 }
  threshold_rules { threshold_percent = 0.9 }
  threshold_rules { threshold_percent = 1.0 }
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  # By mail alone: of other channels than those of e-mail a budget takes none
  # (cloud.google.com/billing/docs/how-to/budgets-notification-recipients, read 2026-11).
  dynamic "all_updates_rule" {
    for_each = length(google_monitoring_notification_channel.email[*].id) + local.budget_stops == 0 ? [] : [google_monitoring_notification_channel.email[*].id]
    content {
      monitoring_notification_channels = all_updates_rule.value
      pubsub_topic                     = one(google_pubsub_topic.budget[*].id)
      schema_version                   = local.budget_stops == 1 ? "1.0" : null
    }
  }

  depends_on = [google_project_service.api, google_pubsub_topic_iam_member.billing_tells_of_budget]
}

resource "google_pubsub_topic" "budget" {
  count = local.budget_stops

  name         = "${local.name}-budget"
  kms_key_name = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# The account that Cloud Billing publishes as, in every project.
resource "google_pubsub_topic_iam_member" "billing_tells_of_budget" {
  count = local.budget_stops

  topic  = google_pubsub_topic.budget[0].id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:billing-budget-alert@system.gserviceaccount.com"
}

# A notice comes several times a day: one that cannot be heard is not missed.
resource "google_pubsub_subscription" "budget" {
  count = local.budget_stops

  name                       = "${local.name}-budget"
  topic                      = google_pubsub_topic.budget[0].id
  ack_deadline_seconds       = 60
  message_retention_duration = "3600s"

  expiration_policy {
    ttl = "" # never
  }

  push_config {
    push_endpoint = "${local.push_urls["fetch"]}/budget"
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.push_urls["fetch"]
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  depends_on = [
    google_cloud_run_v2_service_iam_member.push_calls_fetch,
    google_service_account_iam_member.agent_mints_push_tokens,
  ]
}
