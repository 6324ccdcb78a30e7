# Without Memorystore, with a bucket for Terraform's state; each by default: defaults.tftest.hcl.

mock_provider "google" {}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "without_memorystore_there_is_no_network_and_the_state_is_the_deployers" {
  command = apply

  variables {
    memorystore_enabled = false
    state_bucket        = "example-project-imagesearch-state"
  }

  assert {
    condition = (
      length(google_redis_instance.cache) == 0
      && length(google_compute_network.private) == 0
      && length(google_compute_subnetwork.services) == 0
      && length(google_secret_manager_secret.redis_auth) == 0
      && length(google_secret_manager_secret_iam_member.workload_reads_redis_auth) == 0
    )
    error_message = "Nothing is left that costs by the hour."
  }
  assert {
    condition = (
      length(google_cloudfunctions2_function.query.service_config[0].direct_vpc_network_interface) == 0
      && length(google_cloud_run_v2_service.inference["inference"].template[0].vpc_access) == 0
    )
    error_message = "Nobody goes out to a network."
  }
  assert {
    condition     = !anytrue([for name in keys(google_cloudfunctions2_function.query.service_config[0].environment_variables) : startswith(name, "REDIS")])
    error_message = "No setting of it reaches a function."
  }
  assert {
    condition     = !anytrue([for env in google_cloud_run_v2_service.inference["inference"].template[0].containers[0].env : startswith(env.name, "REDIS")])
    error_message = "Nor a service."
  }
  assert {
    condition     = length(setintersection(keys(google_project_service.api), ["redis", "compute"])) == 0
    error_message = "Its APIs stay off."
  }

  # The state is the deployer's to write, and the planner's to read.

  assert {
    condition     = google_storage_bucket_iam_member.deployer_writes_state[0].role == "roles/storage.objectUser" && google_storage_bucket_iam_member.planner_reads_state[0].role == "roles/storage.objectViewer"
    error_message = "Only the deployer writes the state."
  }
  assert {
    condition     = output.region == "europe-west4" && output.inference_profile == "split" && output.inference_image == var.inference_image
    error_message = "What is deployed, and where, is read from the state by whoever plans next."
  }
}
