# The project, its APIs, and what every other file reads.

locals {
  # What has no name of ours in it is called as before there were several in a project.
  is_first = var.name == "imagesearch"
  prefix   = local.is_first ? "" : "${var.name}-"
  # As PromQL and custom roles want it: no hyphens.
  word = replace(var.name, "-", "_")

  firestore_database = coalesce(var.firestore_database, local.is_first ? "(default)" : var.name)

  apis = toset(concat(
    [
      "artifactregistry", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "containeranalysis",
      "firestore", "iam", "logging", "monitoring", "pubsub", "run", "secretmanager", "storage",
    ],
    var.memorystore_enabled ? ["redis"] : [],
    local.has_postgres ? ["sqladmin"] : [],
    local.forgets_unused || local.has_collections || local.looks_for_drift + local.makes_updates > 0 ? ["cloudscheduler"] : [],
    local.has_network || var.domain != null ? ["compute"] : [],
    local.signed_in ? ["iap"] : [],
    var.kms_key == null ? [] : ["cloudkms", "eventarc"],
    var.traces_enabled ? ["cloudtrace"] : [],
    var.scan_images ? ["containerscanning"] : [],
    var.binary_authorization != null ? ["binaryauthorization"] : [],
    var.budget != null ? ["billingbudgets", "cloudbilling"] : [],
  ))

  # What every process reads (imagesearch/settings.py); the rest of a service is beside the service.
  settings = merge(
    {
      EDITION              = "cloud"
      GOOGLE_CLOUD_PROJECT = var.project_id
      FIRESTORE_DATABASE   = google_firestore_database.catalog.name
    },
    var.traces_enabled ? { TRACES = "cloud" } : {},
    local.is_first ? {} : { TOPIC_PREFIX = local.prefix },
    local.redis_settings,
    local.library_settings,
  )
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "api" {
  for_each = local.apis

  service = "${each.key}.googleapis.com"
  # Other parts of the project may use it.
  disable_on_destroy = false
}
