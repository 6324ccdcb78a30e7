# The share of a new revision; how it is given is in tests/unit/test_roll_out.py.

mock_provider "google" {}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "a_share_is_an_output_and_changes_no_service" {
  command = plan

  variables {
    new_revision_percent = 10
  }

  assert {
    condition     = output.new_revision_percent == 10 && toset(output.services) == toset(["imagesearch-query", "imagesearch-fetch", "imagesearch-inference", "imagesearch-scorer"])
    error_message = "What shifts the traffic reads both."
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.inference : length(one.traffic) == 0])
    error_message = "Terraform says nothing of traffic."
  }
}

run "no_traffic_at_all_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    new_revision_percent = 0
  }

  expect_failures = [var.new_revision_percent]
}

run "a_part_of_a_percent_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    new_revision_percent = 12.5
  }

  expect_failures = [var.new_revision_percent]
}

run "a_share_while_the_model_changes_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    new_revision_percent   = 10
    previous_clip_model    = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    previous_clip_revision = "1a25a446712ba5ee05982a381eed697ef9b435cf"
  }

  expect_failures = [var.new_revision_percent]
}
