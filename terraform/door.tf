# Who may call the query function: decision 0092. With a domain, the load balancer alone reaches it, whoever it is.

locals {
  signed_in = var.door == "iap"

  # Agents of Google's, which tools/first_deployment.sh has made where people sign in.
  iap_agent        = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
  monitoring_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"

  # With door = "everyone_unchecked" nobody is granted anything, and tools/first_deployment.sh has the service check
  # nobody: Cloud Functions has no setting for it (hashicorp/terraform-provider-google 23360).
  # A sign-in ends at the load balancer, which then calls as IAP's agent, and the uptime check cannot sign in:
  # cloud.google.com/iap/docs/enabling-cloud-run, read 2026-11.
  query_callers = local.signed_in ? { iap = local.iap_agent, uptime = local.monitoring_agent } : {}
}

resource "google_cloud_run_v2_service_iam_member" "public_calls_query" {
  count = var.door == "everyone" ? 1 : 0

  name     = google_cloudfunctions2_function.query.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.query.id]
  }
}

# It was made without a choice.
moved {
  from = google_cloud_run_v2_service_iam_member.public_calls_query
  to   = google_cloud_run_v2_service_iam_member.public_calls_query[0]
}

resource "google_cloud_run_v2_service_iam_member" "agent_calls_query" {
  for_each = local.query_callers

  name     = google_cloudfunctions2_function.query.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.query.id]
  }
}

# Whom IAP lets pass, once they have signed in.
resource "google_iap_web_backend_service_iam_member" "may_search" {
  for_each = toset(var.iap_members)

  web_backend_service = google_compute_backend_service.query[0].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}
