# The containers: the inference service's images, and what Cloud Build makes of the functions.

resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84: encrypted with Google's keys
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"

  # What is kept wins over what is deleted: the last ten of each image stay for rolling back.
  cleanup_policies {
    id     = "keep-the-last-ten"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }
  cleanup_policies {
    id     = "delete-after-30-days"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api]
}
