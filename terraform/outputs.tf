locals {
  function_uri = google_cloudfunctions2_function.query.service_config[0].uri
  api_url      = var.domain == null ? local.function_uri : "https://${var.domain}"
  api_host     = trimsuffix(trimprefix(local.api_url, "https://"), "/")

  function_host = trimsuffix(trimprefix(local.function_uri, "https://"), "/")
}

output "api_url" {
  description = "URL of the page, and of the API below it: /search, /pools/{pool_id}, /openapi.json."
  value       = local.api_url
}

# What a deployment goes on with that failed half way: a targeted apply stores only the outputs of
# what it makes, and none of variables alone.
resource "terraform_data" "deployment" {
  input = { region = var.region, inference_profile = var.inference_profile }
}

output "region" {
  description = "Region of everything that is not global."
  value       = terraform_data.deployment.output.region
}

output "inference_profile" {
  description = "Whether a GPU embeds, scores, both or neither: gpu, split or cpu."
  value       = terraform_data.deployment.output.inference_profile
}

output "inference_image" {
  description = "Image that the inference service runs, by digest."
  value       = google_cloud_run_v2_service.inference["inference"].template[0].containers[0].image
}

output "alerts_go_to" {
  description = "Who is told of alerts."
  value       = coalesce(join(", ", concat(compact([var.alert_email]), var.notification_channels)), "nobody: the console alone shows them until alert_email is set")
}

output "images_bucket" {
  description = "Bucket of the stored images."
  value       = google_storage_bucket.images.name
}

output "sources_bucket" {
  description = "Bucket of the functions' zips."
  value       = google_storage_bucket.sources.name
}

output "fetch_service_account" {
  description = "Account that reads the buckets of collections."
  value       = google_service_account.fetch.email
}

output "collection_jobs" {
  description = "Job of Cloud Scheduler that brings a collection up to date with its bucket, by the collection's name."
  value       = { for name, one in google_cloud_scheduler_job.updates_collection : name => one.name }
}

output "settings" {
  description = "What the command line of a person needs to reach this deployment, by the name of the setting."
  value = {
    EDITION              = "cloud"
    GOOGLE_CLOUD_PROJECT = var.project_id
    FIRESTORE_DATABASE   = google_firestore_database.catalog.name
    IMAGES_BUCKET        = google_storage_bucket.images.name
    TOPIC_PREFIX         = local.prefix
  }
}

output "image_repository" {
  description = "Where the inference service's image is pushed to, without the image's own name."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "deployer_service_account" {
  description = "Account of the trigger of Cloud Build that deploys the main branch."
  value       = google_service_account.deployer.email
}

output "planner_service_account" {
  description = "Account of every other trigger: it may test and plan, and deploys nothing."
  value       = google_service_account.planner.email
}

# What tools/roll_out.py reads.
output "services" {
  description = "Services of Cloud Run whose traffic a roll-out shifts, the functions' and the web app's among them."
  value       = local.service_names
}

output "new_revision_percent" {
  description = "Share of the traffic that a new revision gets until it is promoted."
  value       = var.new_revision_percent
}

output "updater_service_account" {
  description = "Account of the trigger of update.yaml; null without update_schedule."
  value       = one(google_service_account.updater[*].email)
}

output "pixabay_key_secret" {
  description = "Secret that the Pixabay key is a version of; null where Pixabay is not among image_sources."
  value       = one(google_secret_manager_secret.pixabay_key[*].secret_id)
}

output "library_instance" {
  description = "Instance of Cloud SQL with the library, as PROJECT:REGION:NAME; null while Firestore has it."
  value       = one(google_sql_database_instance.library[*].connection_name)
}

output "load_balancer_address" {
  description = "Address that the domain's A record must have before its certificate is issued; null without a domain."
  value       = one(google_compute_global_address.front[*].address)
}

output "commands" {
  description = "What the next person types."
  value = {
    first_search     = "curl --get '${local.api_url}/search' --data-urlencode t=horse --data-urlencode 's_query=horses amidst flowers'"
    add_pixabay_key  = "gcloud secrets versions add ${local.name}-pixabay-key --project=${var.project_id} --data-file=-"
    see_dead_letters = "gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letter_kept["fetch-jobs"].name} --project=${var.project_id} --limit=10"
    follow_the_log   = "gcloud logging read 'resource.type=cloud_run_revision AND resource.labels.service_name=(${join(" OR ", local.service_names)})' --project=${var.project_id} --limit=50 --freshness=1h"
  }
}
