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
}

resource "google_firestore_database" "catalog" {
  name        = var.firestore_database
  location_id = var.region
  type        = "FIRESTORE_NATIVE"

  delete_protection_state = var.protect_data ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  # The provider's default leaves the database where it is and forgets it.
  deletion_policy = "DELETE"

  depends_on = [google_project_service.api]
}

# `nearest` of imagesearch/adapters/firestore.py. Without __name__ each plan might show a difference.
resource "google_firestore_index" "nearest" {
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
      dimension = var.embedding_dimension
      flat {}
    }
  }
}

# What `nearest` filters by before it chooses: INDEXED of imagesearch/adapters/firestore_facts.py. Each
# keeps all embeddings once more, so that they are few.
resource "google_firestore_index" "filtered" {
  for_each = toset(["user", "tag", "year"])

  database   = google_firestore_database.catalog.name
  collection = "embeddings"

  fields {
    field_path = "model_revision"
    order      = "ASCENDING"
  }
  fields {
    field_path   = "facts.${each.key}"
    order        = each.key == "tag" ? null : "ASCENDING"
    array_config = each.key == "tag" ? "CONTAINS" : null # an image has several
  }
  fields {
    field_path = "__name__"
    order      = "ASCENDING"
  }
  fields {
    field_path = "vector"
    vector_config {
      dimension = var.embedding_dimension
      flat {}
    }
  }
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

# A pool that nobody asks for any more goes, and its generations with it.
resource "google_firestore_field" "expiry" {
  for_each = toset(["pools", "generations"])

  database   = google_firestore_database.catalog.name
  collection = each.key
  field      = "expire_at"

  ttl_config {}
  # An index of times that only grow makes one server do all the writing.
  index_config {}
}

resource "google_firestore_field" "unindexed" {
  for_each = local.unindexed_fields

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
