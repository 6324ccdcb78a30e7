# What is counted in the log, for monitoring.tf: words of ours, which a test compares with what the code
# logs, and one of Cloud Run's.

# What a push door logs of each message: imagesearch/doors/push.py.
resource "google_logging_metric" "source_refusals" {
  name   = "${local.word}_source_refusals"
  filter = <<-FILTER
    resource.type = "cloud_run_revision"
    resource.labels.service_name = "${local.fetch_service}"
    jsonPayload.kind = "FetchJob"
    (jsonPayload.error : "the rate limit of " OR jsonPayload.outcome = "refused by the source")
  FILTER

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "malformed_messages" {
  name   = "${local.word}_malformed_messages"
  filter = <<-FILTER
    resource.type = "cloud_run_revision"
    resource.labels.service_name = ("${local.fetch_service}" OR "${local.inference_service}")
    jsonPayload.outcome = "malformed"
  FILTER

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.api]
}

# What failed five times, and its pool is marked failed: imagesearch/doors/push.py.
resource "google_logging_metric" "given_up" {
  name   = "${local.word}_given_up"
  filter = <<-FILTER
    resource.type = "cloud_run_revision"
    resource.labels.service_name = ("${local.fetch_service}" OR "${local.inference_service}")
    jsonPayload.outcome = "given up"
  FILTER

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.api]
}

# Searches that were answered without waiting for a pool: imagesearch/telemetry.py. A pool that is waited for
# is looked at every 0.1 s, and the stage `wait` takes microseconds otherwise.
# It is made minutes before the objective on it, and so without the function, whose name is written out.
resource "google_logging_metric" "ready_search_seconds" {
  name            = "${local.word}_ready_search_seconds"
  value_extractor = "EXTRACT(jsonPayload.seconds)"
  filter          = <<-FILTER
    resource.type = "cloud_run_revision"
    resource.labels.service_name = "${local.name}-query"
    jsonPayload.kind = "search"
    jsonPayload.status = 200
    NOT jsonPayload.stages.wait >= 0.01
  FILTER

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }

  bucket_options {
    explicit_buckets {
      bounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60]
    }
  }

  depends_on = [google_project_service.api]
}

# Cloud Run's own line for a request that no instance could take. The metric request_count leaves these
# out: they reach no revision.
resource "google_logging_metric" "no_instance" {
  name   = "${local.word}_no_instance"
  filter = <<-FILTER
    resource.type = "cloud_run_revision"
    resource.labels.service_name = (${join(" OR ", [for name in local.inference_names : "\"${name}\""])})
    log_id("run.googleapis.com/requests")
    textPayload : "no available instance"
  FILTER

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.api]
}
