# One page: what people ask, what waits, what fails, and what is awake and so costs.

locals {
  all_subscriptions = "monitored_resource=\"pubsub_subscription\",subscription_id=~\"${local.prefix}(${join("|", keys(local.workers))})(-dead-letter.*)?\""

  # Title => a query in PromQL of each line.
  charts = {
    "Requests by status" = [
      "sum by (response_code_class) (rate(run_googleapis_com:request_count{${local.query_revisions}}[5m]))",
    ]
    "Seconds of a request: median and p95" = [for quantile in ["0.5", "0.95"] :
      "histogram_quantile(${quantile}, sum by (le) (rate(run_googleapis_com:request_latencies_bucket{${local.query_revisions}}[5m]))) / 1000"
    ]
    "Seconds of a search on a ready pool: median and p95" = [for quantile in ["0.5", "0.95"] :
      "histogram_quantile(${quantile}, sum by (le) (rate(logging_googleapis_com:user_${google_logging_metric.ready_search_seconds.name}_bucket{${local.query_revisions}}[5m])))"
    ]
    "Instances by service" = [
      "sum by (service_name) (run_googleapis_com:container_instance_count{${local.all_revisions}})",
    ]
    "Seconds that an instance takes to start: p95" = [
      "histogram_quantile(0.95, sum by (service_name, le) (rate(run_googleapis_com:container_startup_latencies_bucket{${local.all_revisions}}[10m]))) / 1000",
    ]
    "Age of the oldest message, in seconds" = [
      "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local.all_subscriptions}})",
    ]
    "Messages given up" = [
      "sum by (subscription_id) (increase(pubsub_googleapis_com:subscription_dead_letter_message_count{${local.all_subscriptions}}[10m]))",
    ]
    "New keywords and renewals in an hour" = [
      "sum(increase(pubsub_googleapis_com:topic_send_request_count{monitored_resource=\"pubsub_topic\",topic_id=\"${local.prefix}fetch-jobs\"}[1h]))",
    ]
    "Instances that are billed, by service" = [
      "sum by (service_name) (rate(run_googleapis_com:container_billable_instance_time{${local.all_revisions}}[10m]))",
    ]
    "Share of requests without an error in 28 days; the objective is ${var.objectives.availability}" = [
      "1 - (sum(increase(run_googleapis_com:request_count{${local.query_revisions},response_code_class=\"5xx\"}[28d])) or vector(0)) / sum(increase(run_googleapis_com:request_count{${local.query_revisions}}[28d]))",
    ]
    "Share of searches on ready pools within 2 s in 28 days; the objective is ${var.objectives.latency}" = [
      "sum(increase(${local.ready_searches}_bucket{${local.query_revisions},le=~\"2|2.0\"}[28d])) / sum(increase(${local.ready_searches}_count{${local.query_revisions}}[28d]))",
    ]
    "Firestore: documents read and written a second" = [
      "sum(rate(firestore_googleapis_com:document_read_count{monitored_resource=\"firestore_instance\"}[5m]))",
      "sum(rate(firestore_googleapis_com:document_write_count{monitored_resource=\"firestore_instance\"}[5m]))",
    ]
    "Memorystore: share of its memory in use" = [
      "max(redis_googleapis_com:stats_memory_usage_ratio{monitored_resource=\"redis_instance\",instance_id=~\".*/${local.name}\"})",
    ]
  }
}

resource "google_monitoring_dashboard" "overview" {
  dashboard_json = jsonencode({
    displayName = local.name
    gridLayout = {
      columns = "2"
      widgets = [for title, queries in local.charts : {
        title = title
        xyChart = {
          dataSets = [for query in queries : {
            plotType        = "LINE"
            timeSeriesQuery = { prometheusQuery = query }
          }]
        }
      }]
    }
  })

  depends_on = [google_project_service.api]
}
