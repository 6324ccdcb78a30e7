# The durable originals. Anyone may read an image whose name they know, and nobody may list them; with
# private_images the query function alone reads them for others: decision 0092.

resource "google_storage_bucket" "images" {
  # checkov:skip=CKV_GCP_62: access logs of public pictures are of no use, and are billed
  # checkov:skip=CKV_GCP_78: an image is never changed, and a deleted one is kept for 7 days
  # checkov:skip=CKV_GCP_114: the pictures are public unless private_images says otherwise
  name     = "${var.project_id}-${local.name}-images"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = var.private_images ? "enforced" : "inherited"
  force_destroy               = !var.protect_data

  soft_delete_policy {
    retention_duration_seconds = 7 * 24 * 3600
  }

  dynamic "lifecycle_rule" {
    for_each = var.images_max_age_days == null ? [] : [var.images_max_age_days]
    content {
      action { type = "Delete" }
      condition { age = lifecycle_rule.value }
    }
  }

  # A page fetches a picture to save it, and the function's own page is of another origin. Who may read
  # the pictures without a page may with one. Held to imagesearch/local/emulated/images_site.py by a test.
  cors {
    origin          = ["*"]
    method          = ["GET", "HEAD"]
    response_header = ["Content-Type"]
    max_age_seconds = 3600
  }

  dynamic "encryption" {
    for_each = local.kms_keys
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# The legacy role reads objects; objectViewer would list them, too.
resource "google_storage_bucket_iam_member" "public_reads_images" {
  # checkov:skip=CKV_GCP_28: a search answers with the URLs of these images
  count = var.private_images ? 0 : 1

  bucket = google_storage_bucket.images.name
  role   = "roles/storage.legacyObjectReader"
  member = "allUsers"
}

# It was made without a choice.
moved {
  from = google_storage_bucket_iam_member.public_reads_images
  to   = google_storage_bucket_iam_member.public_reads_images[0]
}

# It lists them, too: that is how a missing image is told from a missing bucket.
resource "google_storage_bucket_iam_member" "query_reads_images" {
  count = var.private_images ? 1 : 0

  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.query.member
}

# It replaces an image by itself when it tries an upload again, for which it must be able to delete.
resource "google_storage_bucket_iam_member" "fetch_writes_images" {
  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectUser"
  member = google_service_account.fetch.member
}

resource "google_storage_bucket_iam_member" "inference_reads_images" {
  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.inference["inference"].member
}
