# A key of one's own, and who uses it: each of Google's services encrypts as an agent of the project's. Decision 0093.

locals {
  # As a list for dynamic blocks.
  kms_keys = var.kms_key == null ? [] : [var.kms_key]

  # Agents that tools/first_deployment.sh has made; that of Cloud Storage is made by being read. Those of functions
  # are all that cloud.google.com/functions/docs/securing/cmek names, read 2026-11.
  agent_number = data.google_project.this.number
  encrypting_agents = var.kms_key == null ? {} : merge(
    {
      artifactregistry = "serviceAccount:service-${local.agent_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
      cloudfunctions   = "serviceAccount:service-${local.agent_number}@gcf-admin-robot.iam.gserviceaccount.com"
      eventarc         = "serviceAccount:service-${local.agent_number}@gcp-sa-eventarc.iam.gserviceaccount.com"
      firestore        = "serviceAccount:service-${local.agent_number}@gcp-sa-firestore.iam.gserviceaccount.com"
      pubsub           = local.pubsub_agent
      run              = "serviceAccount:service-${local.agent_number}@serverless-robot-prod.iam.gserviceaccount.com"
      secretmanager    = "serviceAccount:service-${local.agent_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
      storage          = data.google_storage_project_service_account.this[0].member
    },
    var.memorystore_enabled ? { redis = "serviceAccount:service-${local.agent_number}@cloud-redis.iam.gserviceaccount.com" } : {},
    local.has_postgres ? { sqladmin = "serviceAccount:service-${local.agent_number}@gcp-sa-cloud-sql.iam.gserviceaccount.com" } : {},
  )
}

# Whoever applies must be able to grant on the key, which may be of another project.
resource "google_kms_crypto_key_iam_member" "agent_uses_key" {
  for_each = local.encrypting_agents

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value

  depends_on = [google_project_service.api]
}

# The key of the first day. With another one, or with none, the database, the registries and Memorystore would be made
# anew, without what is in them: firestore.tf refuses that at plan.
resource "terraform_data" "first_key" {
  input = { kms_key = var.kms_key }

  lifecycle {
    ignore_changes = [input]
  }
}
