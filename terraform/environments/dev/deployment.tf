# What tools/first_deployment.sh and cloudbuild.yaml give, and what they and people read. The same file in
# every environment.

variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of everything that is not global."
  type        = string
}

variable "state_bucket" {
  description = "Bucket of Terraform's state."
  type        = string
}

variable "inference_profile" {
  description = "Whether a GPU embeds, scores, both or neither: gpu, split or cpu."
  type        = string
}

variable "inference_image" {
  description = "Image of the inference service, by digest."
  type        = string
}

variable "app_image" {
  description = "Image of the web app, by digest; null where it is not wanted."
  type        = string
  default     = null
}

output "api_url" {
  description = "URL of the page, and of the API below it: /search, /pools/{pool_id}, /openapi.json."
  value       = module.imagesearch.api_url
}

output "region" {
  description = "Region of everything that is not global."
  value       = module.imagesearch.region
}

output "inference_profile" {
  description = "Whether a GPU embeds, scores, both or neither: gpu, split or cpu."
  value       = module.imagesearch.inference_profile
}

output "inference_image" {
  description = "Image that the inference service runs, by digest."
  value       = module.imagesearch.inference_image
}

output "app_url" {
  description = "URL of the web app; empty where there is none."
  value       = module.imagesearch.app_url
}

output "app_image" {
  description = "Image that the web app runs, by digest; empty where there is none."
  value       = module.imagesearch.app_image
}

output "alerts_go_to" {
  description = "Who is told of alerts."
  value       = module.imagesearch.alerts_go_to
}

output "images_bucket" {
  description = "Bucket of the stored images."
  value       = module.imagesearch.images_bucket
}

output "fetch_service_account" {
  description = "Account that reads the buckets of collections."
  value       = module.imagesearch.fetch_service_account
}

output "collection_jobs" {
  description = "Job of Cloud Scheduler that brings a collection up to date with its bucket, by the collection's name."
  value       = module.imagesearch.collection_jobs
}

output "settings" {
  description = "What the command line of a person needs to reach this deployment, by the name of the setting."
  value       = module.imagesearch.settings
}

output "image_repository" {
  description = "Where the inference service's image is pushed to, without the image's own name."
  value       = module.imagesearch.image_repository
}

output "deployer_service_account" {
  description = "Account of the trigger of Cloud Build that deploys the main branch."
  value       = module.imagesearch.deployer_service_account
}

output "planner_service_account" {
  description = "Account of every other trigger: it may test and plan, and deploys nothing."
  value       = module.imagesearch.planner_service_account
}

output "services" {
  description = "Services of Cloud Run whose traffic a roll-out shifts, the functions' among them."
  value       = module.imagesearch.services
}

output "new_revision_percent" {
  description = "Share of the traffic that a new revision gets until it is promoted."
  value       = module.imagesearch.new_revision_percent
}

output "updater_service_account" {
  description = "Account of the trigger of update.yaml; null without update_schedule."
  value       = module.imagesearch.updater_service_account
}

output "pixabay_key_secret" {
  description = "Secret that the Pixabay key is a version of; null where Pixabay is not among image_sources."
  value       = module.imagesearch.pixabay_key_secret
}

output "library_instance" {
  description = "Instance of Cloud SQL with the library, as PROJECT:REGION:NAME; null while Firestore has it."
  value       = module.imagesearch.library_instance
}

output "load_balancer_address" {
  description = "Address that the domain's A record must have before its certificate is issued; null without a domain."
  value       = module.imagesearch.load_balancer_address
}

output "commands" {
  description = "What the next person types."
  value       = module.imagesearch.commands
}

output "sources_bucket" {
  description = "Bucket of the functions' zips."
  value       = module.imagesearch.sources_bucket
}
