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
}

# Neither a provider nor a backend: whoever calls this has them, as environments/prod does.
