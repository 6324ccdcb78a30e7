# The catalog: the database, its vector index, what expires, and what is not worth an index.

locals {
  # Collection group => fields that nothing is searched by: each would cost an index entry a write.
  unindexed_fields = {
    "embeddings/vector"   = { collection = "embeddings", field = "vector" } # `nearest` has its own below
    "embeddings/image"    = { collection = "embeddings", field = "image" }
    "embeddings/row"      = { collection = "embeddings", field = "row" }
    "embeddings/facts"    = { collection = "embeddings", field = "facts" } # `filtered` and `tagged` below
    "generations/listing" = { collection = "generations", field = "listing" }
    "generations/states"  = { collection = "generations", field = "states" }
    "generations/reasons" = { collection = "generations", field = "reasons" }
  }

  unindexed_of_files = toset(["path", "root", "keeps_place", "is_gone", "generation", "size", "problem", "file"])

  # A vector index has one length: while a model changes to one of another, there are those of both.
  embedding_dimensions = toset([for each in concat([var.embedding_dimension], var.other_embedding_dimensions) : tostring(each)])
  lists                = ["tag", "collection"] # of which an image has several
  filtered_indexes = {
    for pair in setproduct(local.embedding_dimensions, ["user", "tag", "collection", "year"]) :
    "${pair[0]}-${pair[1]}" => { dimension = tonumber(pair[0]), fact = pair[1] }
  }
}

resource "google_firestore_database" "catalog" {
  name        = local.firestore_database
  location_id = var.region
  type        = "FIRESTORE_NATIVE"

  delete_protection_state = var.protect_data ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  # The provider's default leaves the database where it is and forgets it.
  deletion_policy = "DELETE"

  # What it was at any minute of the last 7 days, in place of the last hour.
  point_in_time_recovery_enablement = var.backup_weeks > 0 ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"

  dynamic "cmek_config" {
    for_each = local.kms_keys
    content {
      kms_key_name = cmek_config.value
    }
  }

  lifecycle {
    precondition {
      condition     = terraform_data.first_key.output.kms_key == var.kms_key
      error_message = "kms_key was ${coalesce(terraform_data.first_key.output.kms_key, "null")} on the first day, and that is what it stays: Firestore takes another key in a new database alone. Put it back, or deploy anew under another name and move: docs/recovery.md."
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent_uses_key, google_project_service.api]
}

# They outlive the database: docs/recovery.md.
resource "google_firestore_backup_schedule" "weekly" {
  count = var.backup_weeks > 0 ? 1 : 0

  database  = google_firestore_database.catalog.name
  retention = "${var.backup_weeks * 7 * 24 * 3600}s"

  weekly_recurrence {
    day = "SUNDAY"
  }
}

# `nearest` of imagesearch/adapters/firestore.py. Without __name__ each plan might show a difference.
resource "google_firestore_index" "nearest" {
  for_each = local.embedding_dimensions

  database   = google_firestore_database.catalog.name
  collection = "embeddings"

  fields {
    field_path = "model_revision"
    order      = "ASCENDING"
  }
  fields {
    field_path = "__name__"
    order      = "ASCENDING"
  }
  fields {
    field_path = "vector"
    vector_config {
      dimension = tonumber(each.key)
      flat {}
    }
  }
}

# What `nearest` filters by before it chooses: INDEXED of imagesearch/adapters/firestore_facts.py. Each
# keeps all embeddings once more, so that they are few; that of collections has those of their pictures alone.
resource "google_firestore_index" "filtered" {
  for_each = local.filtered_indexes

  database   = google_firestore_database.catalog.name
  collection = "embeddings"

  fields {
    field_path = "model_revision"
    order      = "ASCENDING"
  }
  fields {
    field_path   = "facts.${each.value.fact}"
    order        = contains(local.lists, each.value.fact) ? null : "ASCENDING"
    array_config = contains(local.lists, each.value.fact) ? "CONTAINS" : null
  }
  fields {
    field_path = "__name__"
    order      = "ASCENDING"
  }
  fields {
    field_path = "vector"
    vector_config {
      dimension = each.value.dimension
      flat {}
    }
  }
}

# They were made without their lengths in their names, for models of the default one.
moved {
  from = google_firestore_index.nearest
  to   = google_firestore_index.nearest["512"]
}

moved {
  from = google_firestore_index.filtered["user"]
  to   = google_firestore_index.filtered["512-user"]
}

moved {
  from = google_firestore_index.filtered["tag"]
  to   = google_firestore_index.filtered["512-tag"]
}

moved {
  from = google_firestore_index.filtered["year"]
  to   = google_firestore_index.filtered["512-year"]
}

# `tagged` of the library: images by the words of their tags.
resource "google_firestore_index" "tagged" {
  database   = google_firestore_database.catalog.name
  collection = "embeddings"

  fields {
    field_path = "model_revision"
    order      = "ASCENDING"
  }
  fields {
    field_path   = "facts.words"
    array_config = "CONTAINS"
  }
}

# Whether one of some images was used since a day: imagesearch/adapters/retention/firestore.py.
resource "google_firestore_index" "used_since" {
  database   = google_firestore_database.catalog.name
  collection = "uses"

  fields {
    field_path   = "image_ids"
    array_config = "CONTAINS"
  }
  fields {
    field_path = "day"
    order      = "ASCENDING"
  }
}

# Files of collections in the order of their names, and those of which there is no picture:
# imagesearch/adapters/collections/firestore.py.
resource "google_firestore_index" "files" {
  for_each = { all = ["collection", "is_gone", "path"], problems = ["collection", "has_problem", "path"] }

  database   = google_firestore_database.catalog.name
  collection = "collected"

  dynamic "fields" {
    for_each = each.value
    content {
      field_path = fields.value
      order      = "ASCENDING"
    }
  }
}

# A pool that nobody asks for any more goes, and its generations with it; so does what is remembered of an
# object that went, once no message of it can come any more.
resource "google_firestore_field" "expiry" {
  for_each = toset(["pools", "generations", "collected"])

  database   = google_firestore_database.catalog.name
  collection = each.key
  field      = "expire_at"

  ttl_config {}
  # An index of times that only grow makes one server do all the writing.
  index_config {}
}

resource "google_firestore_field" "unindexed" {
  for_each = merge(local.unindexed_fields, {
    for field in local.unindexed_of_files : "collected/${field}" => { collection = "collected", field = field }
  })

  database   = google_firestore_database.catalog.name
  collection = each.value.collection
  field      = each.value.field

  index_config {}
}

# Firestore's databases have no IAM policy of their own: the project's is held to this one.
resource "google_project_iam_member" "workload_uses_catalog" {
  for_each = local.workloads

  project = var.project_id
  # A scorer without an embedder only reads.
  role   = each.key == "scorer" ? "roles/datastore.viewer" : "roles/datastore.user"
  member = each.value.member

  condition {
    title      = "${local.name}-catalog-only"
    expression = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.catalog.name}\""
  }
}
