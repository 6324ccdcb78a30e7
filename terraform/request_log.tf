# Cloud Run and the load balancer write the whole address of each request, with what somebody searches and
# who asks; a window of the web app has the search in its address, too. None of it is kept: the function's own line has
# what a look at a fault needs (docs/data.md). No metric or alert here reads these lines. The names are written out, so
# that this is there before either is.
resource "google_logging_project_exclusion" "searches" {
  name        = "${local.name}-searches"
  description = "What people search, in the addresses of requests."
  filter      = <<-FILTER
    (
      resource.type = "cloud_run_revision"
      resource.labels.service_name = ("${local.name}-query" OR "${local.name}-app")
      log_id("run.googleapis.com/requests")
    ) OR (
      resource.type = "http_load_balancer"
      resource.labels.backend_service_name = "${local.name}-query"
    )
  FILTER

  depends_on = [google_project_service.api]
}
