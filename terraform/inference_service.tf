# CLIP on Cloud Run: one service that embeds and scores, or in the profile split one for each.

locals {
  has_gpu = var.inference_profile != "cpu"
  scorer  = var.inference_profile == "split" ? "scorer" : "inference"

  # An L4 asks for at least 4 CPUs and 16 GiB.
  inference_services = merge(
    {
      inference = {
        does     = local.scorer == "scorer" ? "embeds" : "embeds and scores"
        gpu      = local.has_gpu
        limits   = local.has_gpu ? { cpu = "4", memory = "16Gi", "nvidia.com/gpu" = "1" } : { cpu = "4", memory = "8Gi" }
        settings = { IMAGES_BUCKET = google_storage_bucket.images.name }
      }
    },
    local.scorer == "scorer" ? {
      scorer = {
        does     = "scores"
        gpu      = false
        limits   = { cpu = "2", memory = "4Gi" }
        settings = {}
      }
    } : {},
  )

  workloads = merge(
    { query = google_service_account.query, fetch = google_service_account.fetch },
    google_service_account.inference,
  )

  # null where a service may sleep: the API gives no 0 back, so that each plan would change it.
  least_instances = { for name, one in var.instances : name => one.min == 0 ? null : one.min }
}

resource "google_service_account" "inference" {
  for_each = local.inference_services

  account_id   = "${local.name}-${each.key}"
  display_name = "${local.name}: the inference service that ${each.value.does}"

  depends_on = [google_project_service.api]
}

resource "google_cloud_run_v2_service" "inference" {
  for_each = local.inference_services

  name     = "${local.name}-${each.key}"
  location = var.region

  # The query function calls it over Google's own front door, with a token: see decision 0021.
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false # nothing is stored in it

  dynamic "binary_authorization" {
    for_each = var.binary_authorization == null ? [] : [true]
    content {
      use_default = binary_authorization.value
    }
  }

  template {
    service_account                  = google_service_account.inference[each.key].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.kms_key
    timeout                          = "600s"
    max_instance_request_concurrency = 160
    gpu_zonal_redundancy_disabled    = each.value.gpu ? true : null

    scaling {
      min_instance_count = local.least_instances[each.key]
      max_instance_count = var.instances[each.key].max
    }

    dynamic "node_selector" {
      for_each = each.value.gpu ? ["nvidia-l4"] : []
      content {
        accelerator = node_selector.value
      }
    }

    dynamic "vpc_access" {
      for_each = local.egress
      content {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
        }
      }
    }

    containers {
      image = var.inference_image

      ports {
        container_port = 8080
      }

      resources {
        limits            = each.value.limits
        cpu_idle          = !each.value.gpu # a GPU is billed for as long as its instance lives
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.settings, each.value.settings)
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = merge(local.redis_secrets, local.library_secrets)
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      # The model alone: were Firestore asked too, none could start while it is down, rolled back or not.
      # The port opens when the model is loaded; 240 s is the most that Cloud Run waits.
      startup_probe {
        http_get {
          path = "/started"
          port = 8080
        }
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48
      }

      liveness_probe {
        http_get {
          path = "/alive"
          port = 8080
        }
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 3
      }
    }
  }

  lifecycle {
    # What gcloud and the API write beside Terraform; the traffic is tools/roll_out.py's.
    ignore_changes = [client, client_version, scaling, traffic]

    precondition {
      condition     = var.shared_network == null || try(split("/", var.shared_network.subnetwork)[3] == var.region, false)
      error_message = "shared_network.subnetwork must be in ${var.region}, where the services are; got ${try(var.shared_network.subnetwork, "-")}."
    }
  }

  depends_on = [
    google_binary_authorization_policy.project,
    google_firestore_index.filtered, # a search by one that is not there fails
    google_firestore_index.tagged,
    google_kms_crypto_key_iam_member.agent_uses_key,
    google_project_iam_member.workload_uses_catalog,
    google_secret_manager_secret_iam_member.workload_reads_database_url,
    google_secret_manager_secret_iam_member.workload_reads_redis_auth,
    google_storage_bucket_iam_member.inference_reads_images,
  ]
}

# It scores with the one and wakes the other, which may be the same.
resource "google_cloud_run_v2_service_iam_member" "query_calls_inference" {
  for_each = google_cloud_run_v2_service.inference

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.query.member
}

resource "google_cloud_run_v2_service_iam_member" "push_calls_inference" {
  name     = google_cloud_run_v2_service.inference["inference"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}
