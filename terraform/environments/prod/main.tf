# The deployment itself: its settings, where its state is, and as whom Google is asked. What there is to set
# is in ../../README.md; tools/first_deployment.sh --environment=prod applies it.

locals {
  budget = null # { billing_account = "012345-6789AB-CDEF01", monthly_amount = 50 }
}

module "imagesearch" {
  source = "../.."

  name              = "imagesearch"
  project_id        = var.project_id
  region            = var.region
  state_bucket      = var.state_bucket
  budget            = local.budget
  inference_image   = var.inference_image
  app_image         = var.app_image
  inference_profile = var.inference_profile
}

# The bucket is given at init: terraform init -backend-config=bucket=NAME
terraform {
  backend "gcs" {
    prefix = "imagesearch"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # The budget's API asks who pays for a request that a person makes.
  user_project_override = local.budget != null
  billing_project       = local.budget == null ? null : var.project_id

  default_labels = { app = "imagesearch" }
}
