# What pages whom and why. What to do about each is in docs/deploy.md, under its title; what is counted
# in the log is in log_metrics.tf.

locals {
  what_to_do = "What to do: docs/deploy.md, under this title."

  notification_channels = concat(google_monitoring_notification_channel.email[*].id, var.notification_channels)

  query_service     = google_cloudfunctions2_function.query.name
  fetch_service     = google_cloudfunctions2_function.fetch.name
  inference_service = google_cloud_run_v2_service.inference["inference"].name
  service_names     = concat([local.query_service, local.fetch_service], local.inference_names, [for one in google_cloud_run_v2_service.app : one.name])
  inference_names   = [for one in google_cloud_run_v2_service.inference : one.name]

  # Labels of a metric of Cloud Run in PromQL.
  query_revisions     = "monitored_resource=\"cloud_run_revision\",service_name=\"${local.query_service}\""
  inference_revisions = "monitored_resource=\"cloud_run_revision\",service_name=~\"${join("|", local.inference_names)}\""

  all_revisions = "monitored_resource=\"cloud_run_revision\",service_name=~\"${join("|", local.service_names)}\""

  # Requests that Cloud Run refused because it had no instance for them, and services that had one at
  # all: together they tell a service that is full from one that does not come.
  refused_requests = "logging_googleapis_com:user_${google_logging_metric.no_instance.name}{${local.inference_revisions}}"
  running_services = "max by (service_name) (max_over_time(run_googleapis_com:container_instance_count{${local.inference_revisions}}[10m])) > 0"

  # Conditions on metrics that Google writes by itself.
  metric_alerts = {
    dead-letters = {
      title     = "${local.name}: messages were given up"
      severity  = "ERROR"
      filter    = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/dead_letter_message_count\" AND resource.labels.subscription_id = one_of(${join(", ", [for name in keys(local.workers) : "\"${local.prefix}${name}\""])})"
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      threshold = 0
      duration  = "0s"
      then      = "A message was delivered ${local.max_delivery_attempts} times in more than an hour, nothing could give it up before, and its pool is marked failed. Read it in the subscription that ends in -dead-letter-kept, where it stays for 7 days."
    }
    # Not of collect-jobs: the last page of an update waits until all pictures are embedded.
    oldest-unacked = {
      title     = "${local.name}: work is waiting"
      severity  = "WARNING"
      filter    = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.labels.subscription_id = one_of(${join(", ", [for name in keys(local.workers) : "\"${local.prefix}${name}\"" if name != "collect-jobs"])})"
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      threshold = 600
      duration  = "300s"
      then      = "The oldest message waits for more than 10 minutes. See whether the service that the subscription pushes to starts, and whether its max of instances is reached."
    }
    api-down = {
      title    = "${local.name}: the API does not answer"
      severity = "CRITICAL"
      filter   = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.ready.uptime_check_id}\""
      # Of each place the last check, and how many places failed; a check comes every 5 minutes.
      aligner   = "ALIGN_NEXT_OLDER"
      reducer   = "REDUCE_COUNT_FALSE"
      threshold = 1
      duration  = "300s"
      then      = "GET /ready failed from at least two of three places for 5 minutes: the query function does not start, or Firestore does not answer."
    }
  }

  # Conditions in PromQL, for a ratio with a floor and for metrics that do not exist before the
  # first log line does: Terraform could not make an alert on those otherwise.
  query_alerts = {
    errors = {
      title    = "${local.name}: the API answers with errors"
      severity = "CRITICAL"
      query    = <<-PROMQL
        sum(rate(run_googleapis_com:request_count{${local.query_revisions},response_code_class="5xx"}[10m]))
          / sum(rate(run_googleapis_com:request_count{${local.query_revisions}}[10m])) > 0.05
        and sum(increase(run_googleapis_com:request_count{${local.query_revisions},response_code_class="5xx"}[10m])) >= 5
      PROMQL
      duration = "300s"
      then     = "More than 5 % of the requests, and at least five, were answered with 5xx in 10 minutes. The query function's log names what was unavailable."
    }
    # Not of all requests: a search of a new keyword may wait for 25 s, which is what it asked for.
    # The window is shorter than the duration, so that one cold start pages nobody.
    latency = {
      title    = "${local.name}: the API is slow"
      severity = "WARNING"
      query    = <<-PROMQL
        histogram_quantile(0.95, sum by (le) (rate(logging_googleapis_com:user_${google_logging_metric.ready_search_seconds.name}_bucket{${local.query_revisions}}[5m]))) > 2
        and sum(increase(logging_googleapis_com:user_${google_logging_metric.ready_search_seconds.name}_count{${local.query_revisions}}[5m])) >= 20
      PROMQL
      duration = "600s"
      then     = "Of the searches that had nothing to wait for, at least 20 in 5 minutes, 5 % take longer than 2 s. The stages of each are in the log."
    }
    no-instance = {
      title    = "${local.name}: the inference service has no instance"
      severity = "CRITICAL"
      query    = <<-PROMQL
        sum by (service_name) (increase(${local.refused_requests}[10m])) >= 3
        unless on (service_name) ${local.running_services}
      PROMQL
      duration = "300s"
      then     = "Requests are refused and no instance is running: no quota is left in the region, or Google has no GPU to give there."
    }
    # By design a burst is refused and comes again: only what goes on pages, as above.
    full = {
      title    = "${local.name}: the inference service is full"
      severity = "WARNING"
      query    = <<-PROMQL
        (
          sum by (service_name) (increase(${local.refused_requests}[5m])) >= 20
          or sum by (service_name) (increase(run_googleapis_com:request_count{${local.inference_revisions},response_code="429"}[5m])) >= 20
        )
        and on (service_name) ${local.running_services}
      PROMQL
      duration = "600s"
      then     = "It runs, and for 10 minutes refused 20 requests and more in every 5, because its instances have all that they can do."
    }
    source = {
      title    = "${local.name}: an image source refuses"
      severity = "WARNING"
      query    = "sum(increase(logging_googleapis_com:user_${google_logging_metric.source_refusals.name}{monitored_resource=\"cloud_run_revision\"}[30m])) >= 5"
      duration = "0s"
      then     = "Five fetches in 30 minutes met the rate limit of Pixabay or of another source, or were refused, as with a key that is no longer valid. A single one is tried again by itself."
    }
    given-up = {
      title    = "${local.name}: keywords were given up"
      severity = "ERROR"
      query    = "sum(increase(logging_googleapis_com:user_${google_logging_metric.given_up.name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration = "0s"
      then     = "A fetch or a batch failed five times, and its pool is marked failed. The log line says with what."
    }
    malformed = {
      title    = "${local.name}: a message was malformed"
      severity = "ERROR"
      query    = "sum(increase(logging_googleapis_com:user_${google_logging_metric.malformed_messages.name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration = "0s"
      then     = "It was acked and is lost: a publisher and a reader of different versions, or a stranger who may publish. The log line says what is wrong with it."
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == null ? 0 : 1

  display_name = local.name
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "metric" {
  for_each = local.metric_alerts

  display_name          = each.value.title
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration
      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.key == "api-down" ? [] : ["resource.label.subscription_id"]
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content = "${each.value.then} ${local.what_to_do}"
  }
}

resource "google_monitoring_alert_policy" "query" {
  for_each = merge(local.query_alerts, local.objective_alerts)

  display_name          = each.value.title
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query                     = replace(trimspace(each.value.query), "/\\s+/", " ") # as others read it, in one line
      duration                  = each.value.duration
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content = "${each.value.then} ${local.what_to_do}"
  }
}

resource "google_monitoring_alert_policy" "inference_start" {
  display_name          = "${local.name}: the inference service does not start"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = local.notification_channels

  conditions {
    display_name = "An instance failed to start, or ended"
    condition_matched_log {
      filter = <<-FILTER
        resource.type = "cloud_run_revision"
        resource.labels.service_name = (${join(" OR ", [for name in local.inference_names : "\"${name}\""])})
        log_id("run.googleapis.com/varlog/system") AND severity >= ERROR
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
    content = "The log says which: the model was not loaded in 240 s, the container ended, or its memory was used up. ${local.what_to_do}"
  }
}

resource "google_monitoring_uptime_check_config" "ready" {
  display_name     = "${local.name}: GET /ready"
  timeout          = "30s" # a function that slept has to start
  period           = "300s"
  selected_regions = ["EUROPE", "USA_VIRGINIA", "ASIA_PACIFIC"]

  http_check {
    path         = "/ready"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    # Nobody but people can sign in at the load balancer: so the function is asked past it, as an uptime check
    # is internal to Cloud Run, with a token. Source: cloud.google.com/run/docs/securing/ingress, read 2026-11.
    dynamic "service_agent_authentication" {
      for_each = local.signed_in ? ["OIDC_TOKEN"] : []
      content {
        type = service_agent_authentication.value
      }
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = local.signed_in ? local.function_host : local.api_host
    }
  }

  # Another host is another check, and one that an alert looks at cannot be deleted.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.api]
}
