# One page: what people ask, what waits, what fails, and what is awake and so costs.

locals {
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
      "sum by (service_name) (run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.name}-.*\"})",
    ]
    "Seconds that an instance takes to start: p95" = [
      "histogram_quantile(0.95, sum by (service_name, le) (rate(run_googleapis_com:container_startup_latencies_bucket{monitored_resource=\"cloud_run_revision\",service_name=~\"${local.name}-.*\"}[10m]))) / 1000",
    ]
    "Age of the oldest message, in seconds" = [
      "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\"})",
    ]
    "Messages given up" = [
      "sum by (subscription_id) (increase(pubsub_googleapis_com:subscription_dead_letter_message_count{monitored_resource=\"pubsub_subscription\"}[10m]))",
    ]
    "Firestore: documents read and written a second" = [
      "sum(rate(firestore_googleapis_com:document_read_count{monitored_resource=\"firestore_instance\"}[5m]))",
      "sum(rate(firestore_googleapis_com:document_write_count{monitored_resource=\"firestore_instance\"}[5m]))",
    ]
    "Memorystore: share of its memory in use" = [
      "max(redis_googleapis_com:stats_memory_usage_ratio{monitored_resource=\"redis_instance\"})",
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
