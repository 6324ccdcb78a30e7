# The library in PostgreSQL, when var.library says so: images and embeddings, and no pools.

locals {
  library_settings = local.has_postgres ? { LIBRARY = "postgres" } : {}

  # Name of the setting => the secret and the version of it.
  library_secrets = local.has_postgres ? {
    DATABASE_URL = {
      secret  = google_secret_manager_secret.database_url[0].secret_id
      version = google_secret_manager_secret_version.database_url[0].version
    }
  } : {}
}

resource "google_sql_database_instance" "library" {
  # checkov:skip=CKV_GCP_6: ssl_mode says it, which has taken the place of require_ssl
  # checkov:skip=CKV_GCP_52: connections come and go with the instances of Cloud Run
  # checkov:skip=CKV_GCP_53: so they do
  # checkov:skip=CKV_GCP_55: Google's default
  # checkov:skip=CKV_GCP_108: all come from one endpoint
  # checkov:skip=CKV_GCP_109: Google's default
  # checkov:skip=CKV_GCP_110: there is one user, the program
  # checkov:skip=CKV_GCP_111: statements have what people search for
  # checkov:skip=CKV2_GCP_13: the program's own log has how long a search took
  count = local.has_postgres ? 1 : 0

  name             = "${local.name}-library"
  region           = var.region
  database_version = "POSTGRES_18"

  encryption_key_name = var.kms_key

  # Terraform's own protection, and below Google's.
  deletion_protection = var.protect_data

  settings {
    edition           = "ENTERPRISE"
    tier              = var.postgres.tier
    availability_type = var.postgres.high_availability ? "REGIONAL" : "ZONAL"

    disk_type       = "PD_SSD"
    disk_size       = var.postgres.disk_gb
    disk_autoresize = true

    deletion_protection_enabled = var.protect_data

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
      backup_retention_settings {
        retained_backups = 14
      }
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    # An endpoint of the network's own: the peering of the older way could not be deleted.
    ip_configuration {
      ipv4_enabled = false
      ssl_mode     = "ENCRYPTED_ONLY"
      psc_config {
        psc_enabled               = true
        allowed_consumer_projects = distinct([var.project_id, try(split("/", var.shared_network.network)[1], var.project_id)])
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

resource "google_compute_address" "library" {
  count = local.has_postgres ? 1 : 0

  name         = "${local.name}-library"
  region       = var.region
  subnetwork   = local.subnetwork_id
  address_type = "INTERNAL"
}

resource "google_compute_forwarding_rule" "library" {
  count = local.has_postgres ? 1 : 0

  name                  = "${local.name}-library"
  region                = var.region
  network               = local.network_id
  ip_address            = google_compute_address.library[0].id
  load_balancing_scheme = "" # as an endpoint of a service has it
  target                = google_sql_database_instance.library[0].psc_service_attachment_link
}

# The tables are the program's own, and go with the instance: Google drops no database that is in use,
# and no user that owns something.
resource "google_sql_database" "library" {
  count = local.has_postgres ? 1 : 0

  name            = local.name
  instance        = google_sql_database_instance.library[0].name
  deletion_policy = "ABANDON"
}

# 122 random bits. Terraform's state has them anyway, as it has the AUTH string.
resource "terraform_data" "database_password" {
  count = local.has_postgres ? 1 : 0

  input = sensitive(uuid())

  lifecycle {
    ignore_changes = [input]
  }
}

# A user with a password may make the extension pgvector, and one of IAM may not.
resource "google_sql_user" "library" {
  count = local.has_postgres ? 1 : 0

  name            = local.name
  instance        = google_sql_database_instance.library[0].name
  password        = terraform_data.database_password[0].output
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret" "database_url" {
  count = local.has_postgres ? 1 : 0

  secret_id = "${local.name}-database-url"
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

resource "google_secret_manager_secret_version" "database_url" {
  count = local.has_postgres ? 1 : 0

  secret      = google_secret_manager_secret.database_url[0].id
  secret_data = "postgresql://${google_sql_user.library[0].name}:${terraform_data.database_password[0].output}@${google_compute_address.library[0].address}/${google_sql_database.library[0].name}?sslmode=require"

  deletion_policy = "ABANDON" # as the AUTH string's in memorystore.tf, and for its reason

  # What reads it connects at once.
  depends_on = [google_compute_forwarding_rule.library]
}

resource "google_secret_manager_secret_iam_member" "workload_reads_database_url" {
  for_each = local.has_postgres ? local.workloads : {}

  secret_id = google_secret_manager_secret.database_url[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}
