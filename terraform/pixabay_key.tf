# The secret of Pixabay's key. Its value is added by hand, so that Terraform's state never has it.

resource "google_secret_manager_secret" "pixabay_key" {
  count = local.uses_pixabay ? 1 : 0

  secret_id = "${local.name}-pixabay-key"
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

resource "google_secret_manager_secret_iam_member" "fetch_reads_pixabay_key" {
  count = local.uses_pixabay ? 1 : 0

  secret_id = google_secret_manager_secret.pixabay_key[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.fetch.member
}
