terraform {
  # 1.9 is the first whose validations may look at other variables.
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source = "hashicorp/google"
      # 7.21 is the first whose functions keep Direct VPC egress without a difference in each plan.
      version = ">= 7.21, < 8.0"
    }
  }

  # The bucket is given at init: terraform init -backend-config=bucket=NAME
  backend "gcs" {
    prefix = "imagesearch"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # The budget's API asks who pays for a request that a person makes.
  user_project_override = var.budget != null
  billing_project       = var.budget == null ? null : var.project_id

  default_labels = { app = local.name }
}
