# The key that callers of the API send, where one is asked for. The secret is made by hand, so that Terraform's
# state never has its value, and no function starts before it has one.

locals {
  api_key_secrets = var.api_key == null ? {} : { SEARCH_API_KEY = var.api_key }
}

resource "google_secret_manager_secret_iam_member" "query_reads_api_key" {
  count = var.api_key == null ? 0 : 1

  project   = var.project_id
  secret_id = var.api_key.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.query.member
}
