# The containers: the inference service's images, what Cloud Build makes of the functions, and the
# layers that the next build of an image begins with.

resource "google_artifact_registry_repository" "images" {
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  # What is kept wins over what is deleted: the last ten of each image stay for rolling back. Only what
  # is on the main branch, or a person deploys, is pushed here.
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

  # Each new image costs once. The API that scans stays on, for the rest of the project, where this is turned off again.
  vulnerability_scanning_config {
    enablement_config = var.scan_images ? "INHERITED" : "DISABLED"
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# A repository of its own, since no policy could keep ten of everything but this.
resource "google_artifact_registry_repository" "cache" {
  repository_id = "${local.name}-cache"
  location      = var.region
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  # A build moves the tag, so that one cache stays for each accelerator.
  cleanup_policies {
    id     = "delete-what-a-newer-build-replaced"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "86400s"
    }
  }

  vulnerability_scanning_config {
    enablement_config = "DISABLED" # what it holds is no image that runs
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}
