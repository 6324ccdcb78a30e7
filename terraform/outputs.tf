locals {
  function_uri = google_cloudfunctions2_function.query.service_config[0].uri
  api_url      = var.domain == null ? local.function_uri : "https://${var.domain}"
  api_host     = trimsuffix(trimprefix(local.api_url, "https://"), "/")
}

output "api_url" {
  description = "URL of the API; GET /search and GET /pools/{pool_id} are below it."
  value       = local.api_url
}

output "images_bucket" {
  description = "Bucket of the stored images."
  value       = google_storage_bucket.images.name
}

output "image_repository" {
  description = "Where the inference service's image is pushed to, without the image's own name."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "deployer_service_account" {
  description = "Account that a trigger of Cloud Build runs cloudbuild.yaml with."
  value       = google_service_account.deployer.email
}

output "pixabay_key_secret" {
  description = "Secret that the Pixabay key is a version of."
  value       = google_secret_manager_secret.pixabay_key.secret_id
}

output "load_balancer_address" {
  description = "Address that the domain's A record must have before its certificate is issued; null without a domain."
  value       = one(google_compute_global_address.front[*].address)
}

output "commands" {
  description = "What the next person types."
  value = {
    first_search     = "curl --get '${local.api_url}/search' --data-urlencode t=horse --data-urlencode 's_query=horses amidst flowers'"
    add_pixabay_key  = "gcloud secrets versions add ${google_secret_manager_secret.pixabay_key.secret_id} --project=${var.project_id} --data-file=-"
    see_dead_letters = "gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letter_kept["fetch-jobs"].name} --project=${var.project_id} --limit=10"
    follow_the_log   = "gcloud logging read 'resource.type=cloud_run_revision AND resource.labels.service_name:${local.name}-' --project=${var.project_id} --limit=50 --freshness=1h"
  }
}
