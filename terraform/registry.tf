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

  dynamic "vulnerability_scanning_config" {
    for_each = try([local.scanned.images], [])
    content {
      enablement_config = vulnerability_scanning_config.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# Each new image costs once, and what the cache holds is none that runs. Of a repository that says nothing, the
# API alone decides; where it is turned on for others, this repository is scanned with theirs.
locals {
  scanned = var.scan_images ? { images = "INHERITED", cache = "DISABLED" } : {}
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

  dynamic "vulnerability_scanning_config" {
    for_each = try([local.scanned.cache], [])
    content {
      enablement_config = vulnerability_scanning_config.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}
