terraform {
  # 1.9 is the first whose validations may look at other variables.
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source = "hashicorp/google"
      # Before April 2026 a function's traffic went to each new revision, whatever was said: #24130. 7.45 is the one that
      # was read.
      version = ">= 7.45, < 8.0"
    }
  }
}

# Neither a provider nor a backend: whoever calls this has them, as environments/prod does.
