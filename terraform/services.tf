# The project, its APIs, and what every other file reads.

locals {
  name = var.name
  # What has no name of ours in it is called as before there were several in a project.
  is_first = var.name == "imagesearch"
  prefix   = local.is_first ? "" : "${var.name}-"
  # As PromQL and custom roles want it: no hyphens.
  word = replace(var.name, "-", "_")

  firestore_database = coalesce(var.firestore_database, local.is_first ? "(default)" : var.name)

  # Source: cloud.google.com/run/docs/configuring/services/gpu, read 2026-08.
  l4_regions_by_invitation = ["asia-south1", "us-central1"]
  l4_regions               = concat(["asia-southeast1", "europe-west1", "europe-west4", "us-east4"], local.l4_regions_by_invitation)

  # What a model may be called: its name here, or as huggingface_hub 2 has it, by `validate_repo_id`.
  model_id    = "^(small|best|[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?)$"
  no_model_id = "--|[.][.]|[.]git$"

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
