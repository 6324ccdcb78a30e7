# Spans from a search through its fetch to what is embedded, in Cloud Trace, when var.traces_enabled says so.
# Cloud Trace has no rights on single resources: each workload may add spans to the project's traces, and read none.

resource "google_project_iam_member" "workload_writes_traces" {
  for_each = var.traces_enabled ? local.workloads : {}

  project = var.project_id
  role    = "roles/cloudtrace.agent"
  member  = each.value.member
}
