# The zips of the functions, and the account that builds containers of them.

resource "google_storage_bucket" "sources" {
  # checkov:skip=CKV_GCP_62: access logs of two zips are of no use, and are billed
  # checkov:skip=CKV_GCP_78: an object's name has its hash, so that none is ever overwritten
  name     = "${var.project_id}-${local.name}-sources"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  # A zip can be made again from the code, to the byte.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  dynamic "encryption" {
    for_each = local.kms_keys
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# Whoever packages a zip uploads it, under the name of its hash, before it is applied: another zip is
# another object and so another revision, and the ones before stay for rolling back.
locals {
  archive_paths = { for name, given in var.function_archives :
    name => coalesce(given, "${path.module}/../build/${name}.zip")
  }
  archives = { for name, path in local.archive_paths : name => "${name}-${filesha256(path)}.zip" }
}

# The default account of builds has far more rights, or in a new project none.
resource "google_service_account" "build" {
  account_id   = "${local.name}-build"
  display_name = "${local.name}: builds of the functions"

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository_iam_member" "build_writes" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

locals {
  # Cloud Functions copies each zip into a bucket of its own making, which is not there before the
  # first function is: hence the project's policy, held to that bucket by its name.
  # Of what is encrypted with a key of one's own the bucket's name goes on, as far as others have seen.
  functions_bucket = "gcf-v2-sources-${data.google_project.this.number}-${var.region}${var.kms_key == null ? "/" : ""}"
  build_roles = {
    "roles/logging.logWriter" = null
    "roles/storage.objectViewer" = {
      title      = "${local.name}-function-sources-only"
      expression = "resource.name.startsWith(\"projects/_/buckets/${local.functions_bucket}\")"
    }
  }
}

resource "google_project_iam_member" "build" {
  for_each = local.build_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.build.member

  dynamic "condition" {
    for_each = each.value == null ? [] : [each.value]
    content {
      title      = condition.value.title
      expression = condition.value.expression
    }
  }
}
