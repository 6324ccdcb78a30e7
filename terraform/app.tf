# The web app on Cloud Run, where it is wanted: a client of the API, with no right to anything.

locals {
  app = var.app_enabled ? toset(["app"]) : toset([])
}

resource "google_service_account" "app" {
  for_each = local.app

  account_id   = "${local.name}-app"
  display_name = "${local.name}: the web app, which has no rights"

  depends_on = [google_project_service.api]
}

resource "google_cloud_run_v2_service" "app" {
  for_each = local.app

  name                = "${local.name}-app"
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # nothing is stored in it

  # What Cloud Functions has no setting for: door.tf.
  invoker_iam_disabled = var.door == "everyone_unchecked" ? true : null

  dynamic "binary_authorization" {
    for_each = var.binary_authorization == null ? [] : [true]
    content {
      use_default = binary_authorization.value
    }
  }

  template {
    encryption_key                   = var.kms_key
    service_account                  = google_service_account.app[each.key].email
    timeout                          = "3600s" # of a window's connection; it is taken up again
    max_instance_request_concurrency = 80

    # What a page loads and the connection that it then opens go to one revision, where two share the traffic:
    # cloud.google.com/run/docs/configuring/session-affinity, read 2026-11.
    session_affinity = true

    # One alone: what a window has typed and found is in its memory.
    scaling {
      max_instance_count = 1
    }

    containers {
      image = var.app_image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      env {
        name  = "API_URL"
        value = local.api_url
      }
      env {
        name  = "IMAGE_ORIGINS"
        value = "https://storage.googleapis.com"
      }

      startup_probe {
        http_get {
          path = "/manifest.json"
          port = 8080
        }
        period_seconds    = 2
        failure_threshold = 15
      }
    }
  }

  lifecycle {
    # What gcloud and the API write beside Terraform; the traffic is tools/roll_out.py's.
    ignore_changes = [client, client_version, scaling, traffic]
  }

  depends_on = [google_binary_authorization_policy.project, google_kms_crypto_key_iam_member.agent_uses_key]
}

resource "google_cloud_run_v2_service_iam_member" "public_calls_app" {
  for_each = var.door == "everyone" ? local.app : []

  name     = google_cloud_run_v2_service.app[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

# As of the services in deployer.tf: a build rolls a new image out, and changes nothing else.
resource "google_cloud_run_v2_service_iam_member" "deployer_updates_app" {
  for_each = google_cloud_run_v2_service.app

  name     = each.value.name
  location = var.region
  role     = "roles/run.developer"
  member   = google_service_account.deployer.member
}

resource "google_service_account_iam_member" "deployer_acts_as_app" {
  for_each = google_service_account.app

  # Written out, as in deployer.tf.
  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value.account_id}@${var.project_id}.iam.gserviceaccount.com"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer.member
}

output "app_url" {
  description = "URL of the web app; empty where there is none."
  value       = try(google_cloud_run_v2_service.app["app"].uri, "")
}

output "app_image" {
  description = "Image that the web app runs, by digest; empty where there is none."
  value       = try(google_cloud_run_v2_service.app["app"].template[0].containers[0].image, "")
}
