# The cache, which can vanish at any moment and nothing is lost.

locals {
  redis_settings = var.memorystore_enabled ? {
    REDIS_HOST      = google_redis_instance.cache[0].host
    REDIS_PORT      = tostring(google_redis_instance.cache[0].port)
    REDIS_SERVER_CA = join("\n", google_redis_instance.cache[0].server_ca_certs[*].cert)
  } : {}

  # Name of the setting => the secret and the version of it.
  redis_secrets = var.memorystore_enabled ? {
    REDIS_AUTH_STRING = {
      secret  = google_secret_manager_secret.redis_auth[0].secret_id
      version = google_secret_manager_secret_version.redis_auth[0].version
    }
  } : {}
}

resource "google_redis_instance" "cache" {
  count = var.memorystore_enabled ? 1 : 0

  name           = local.name
  region         = var.region
  tier           = "BASIC"
  memory_size_gb = 1
  redis_version  = "REDIS_7_2"

  # Direct peering leaves no service connection behind that could not be deleted; of another project's network
  # Google takes the other alone: cloud.google.com/memorystore/docs/redis/networking, read 2026-11.
  connect_mode            = var.shared_network == null ? "DIRECT_PEERING" : "PRIVATE_SERVICE_ACCESS"
  authorized_network      = local.network_id
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  customer_managed_key    = var.kms_key

  redis_configs = {
    maxmemory-policy = "allkeys-lru"
  }

  deletion_protection = false

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# Terraform's state has the AUTH string anyway, from the instance above.
resource "google_secret_manager_secret" "redis_auth" {
  count = var.memorystore_enabled ? 1 : 0

  secret_id = "${local.name}-redis-auth"
  replication {
    dynamic "auto" {
      for_each = var.kms_key == null ? [true] : []
      content {}
    }
    dynamic "user_managed" { # a key of a region encrypts no secret that is everywhere
      for_each = local.kms_keys
      content {
        replicas {
          location = var.region
          customer_managed_encryption {
            kms_key_name = user_managed.value
          }
        }
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_secret_manager_secret_version" "redis_auth" {
  count = var.memorystore_enabled ? 1 : 0

  secret      = google_secret_manager_secret.redis_auth[0].id
  secret_data = google_redis_instance.cache[0].auth_string

  # A version that is destroyed, or disabled, starts no instance of a revision that names it: the one that serves
  # until the next is there, and those to roll back to. With create_before_destroy all that this needs would be made
  # before it is deleted, too, under a name that is taken.
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret_iam_member" "workload_reads_redis_auth" {
  for_each = var.memorystore_enabled ? local.workloads : {}

  secret_id = google_secret_manager_secret.redis_auth[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}
