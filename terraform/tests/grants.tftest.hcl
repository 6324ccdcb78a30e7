# Who may read and write the state; who may do what besides: defaults.tftest.hcl.

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

run "the_state_is_the_deployers_to_write_and_the_planners_to_read" {
  command = apply

  variables {
    state_bucket = "example-project-imagesearch-state"
  }

  assert {
    condition     = google_storage_bucket_iam_member.deployer_writes_state[0].role == "roles/storage.objectUser" && google_storage_bucket_iam_member.planner_reads_state[0].role == "roles/storage.objectViewer"
    error_message = "Only the deployer writes the state."
  }
  assert {
    condition     = output.region == "europe-west4" && output.inference_profile == "split" && output.inference_image == var.inference_image
    error_message = "What is deployed, and where, is read from the state by whoever plans next."
  }
}
