# Service levels: of all requests so many are answered without an error, and of the searches that had nothing to
# wait for so many within 2 s. What uses up the rest of four weeks too fast alerts.

locals {
  # Share of bad requests over a window, in PromQL; without any bad one there is no series.
  bad_shares = {
    availability = [for window in ["1h", "5m", "6h", "30m"] :
      "sum(rate(run_googleapis_com:request_count{${local.query_revisions},response_code_class=\"5xx\"}[${window}])) / sum(rate(run_googleapis_com:request_count{${local.query_revisions}}[${window}]))"
    ]
    latency = [for window in ["1h", "5m", "6h", "30m"] :
      "1 - sum(rate(${local.ready_searches}_bucket{${local.query_revisions},le=~\"2|2.0\"}[${window}])) / sum(rate(${local.ready_searches}_count{${local.query_revisions}}[${window}]))"
    ]
  }
  query_requests = "metric.type = \"run.googleapis.com/request_count\" AND resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${local.query_service}\""
  ready_searches = "logging_googleapis_com:user_${google_logging_metric.ready_search_seconds.name}"

  # Of few requests a single one is a large share.
  objective_floors = {
    availability = "sum(increase(run_googleapis_com:request_count{${local.query_revisions},response_code_class=\"5xx\"}[6h])) >= 10"
    latency      = "sum(increase(${local.ready_searches}_count{${local.query_revisions}}[6h])) >= 100"
  }

  # Fast: 2 % of what four weeks allow gone in an hour; slow: 5 % in six. The short window of each ends the alert
  # soon after the fault. Source: The Site Reliability Workbook, chapter 5, table 5-2, for 30 days.
  burns = { for name, shares in local.bad_shares : name => join(" or ", [
    "(${shares[0]} > ${14.4 * (1 - var.objectives[name])} and ${shares[1]} > ${14.4 * (1 - var.objectives[name])})",
    "(${shares[2]} > ${6 * (1 - var.objectives[name])} and ${shares[3]} > ${6 * (1 - var.objectives[name])})",
  ]) }

  objective_alerts = {
    availability-objective = {
      title    = "${local.name}: errors use up the objective"
      severity = "WARNING"
      query    = "(${local.burns.availability}) and ${local.objective_floors.availability}"
      duration = "0s"
      then     = "At this rate more requests fail than the objective of ${100 * var.objectives.availability} % allows: 2 % of what four weeks allow in an hour, or 5 % in six."
    }
    latency-objective = {
      title    = "${local.name}: slow searches use up the objective"
      severity = "WARNING"
      query    = "(${local.burns.latency}) and ${local.objective_floors.latency}"
      duration = "0s"
      then     = "At this rate more searches that had nothing to wait for take longer than 2 s than the objective of ${100 * var.objectives.latency} % allows: 2 % of what four weeks allow in an hour, or 5 % in six."
    }
  }
}

resource "google_monitoring_custom_service" "api" {
  service_id   = local.name
  display_name = local.name

  depends_on = [google_project_service.api]
}

resource "google_monitoring_slo" "availability" {
  service      = google_monitoring_custom_service.api.service_id
  slo_id       = "availability"
  display_name = "Requests without an error"

  goal                = var.objectives.availability
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      bad_service_filter   = "${local.query_requests} AND metric.labels.response_code_class = \"5xx\""
      total_service_filter = local.query_requests
    }
  }
}

# Of a metric that is minutes old Google says "The metric referenced by the provided filter is unknown", which passes by
# itself (cloud-ops-sandbox #896): tools/first_deployment.sh makes the metric before the image, and this is last.
resource "google_monitoring_slo" "latency" {
  service      = google_monitoring_custom_service.api.service_id
  slo_id       = "latency"
  display_name = "Searches on ready pools within 2 s"

  goal                = var.objectives.latency
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.ready_search_seconds.name}\" AND resource.type = \"cloud_run_revision\""
      range {
        min = 0
        max = 2
      }
    }
  }

  depends_on = [google_cloudfunctions2_function.query]
}
