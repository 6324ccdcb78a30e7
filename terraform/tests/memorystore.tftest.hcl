# With Memorystore and without, the latter by default; with a bucket for Terraform's state.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "without_memorystore_there_is_no_network_and_the_state_is_the_deployers" {
  command = plan

  variables {
    state_bucket = "example-project-imagesearch-state"
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
}

run "with_memorystore_every_workload_reaches_it_with_auth_and_tls" {
  command = plan

  variables {
    memorystore_enabled = true
  }

  assert {
    condition     = google_redis_instance.cache[0].auth_enabled && google_redis_instance.cache[0].transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "AUTH and in-transit encryption."
  }
  assert {
    condition     = google_redis_instance.cache[0].authorized_network == google_compute_network.private[0].id
    error_message = "In the network that the services go out to."
  }
  assert {
    condition     = google_compute_subnetwork.services[0].ip_cidr_range == "10.8.0.0/26"
    error_message = "Direct VPC egress needs a /26."
  }
  assert {
    condition = alltrue([for one in [google_cloudfunctions2_function.query, google_cloudfunctions2_function.fetch] : (
      one.service_config[0].direct_vpc_egress == "VPC_EGRESS_PRIVATE_RANGES_ONLY"
      && one.service_config[0].direct_vpc_network_interface[0].subnetwork == google_compute_subnetwork.services[0].id
    )])
    error_message = "Functions go out to the subnet, with private addresses only."
  }
  assert {
    condition = alltrue([for one in google_cloud_run_v2_service.inference : (
      one.template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
      && one.template[0].vpc_access[0].network_interfaces[0].subnetwork == google_compute_subnetwork.services[0].id
    )])
    error_message = "So do the services."
  }
  assert {
    condition     = alltrue([for one in [google_cloudfunctions2_function.query, google_cloudfunctions2_function.fetch] : one.service_config[0].environment_variables["REDIS_HOST"] == google_redis_instance.cache[0].host])
    error_message = "Functions know its address."
  }
  assert {
    condition     = alltrue([for one in google_cloud_run_v2_service.inference : contains([for env in one.template[0].containers[0].env : env.value if env.name == "REDIS_HOST"], google_redis_instance.cache[0].host)])
    error_message = "So do the services."
  }
  assert {
    condition     = alltrue([for one in [google_cloudfunctions2_function.query, google_cloudfunctions2_function.fetch] : contains([for secret in one.service_config[0].secret_environment_variables : secret.key], "REDIS_AUTH_STRING")])
    error_message = "The AUTH string comes from Secret Manager to the functions."
  }
  assert {
    condition = alltrue([for one in google_cloud_run_v2_service.inference : one(
      [for env in one.template[0].containers[0].env : env.value_source[0].secret_key_ref[0].secret if env.name == "REDIS_AUTH_STRING"]
    ) == google_secret_manager_secret.redis_auth[0].secret_id])
    error_message = "And to the services."
  }
  assert {
    condition     = join(",", keys(google_secret_manager_secret_iam_member.workload_reads_redis_auth)) == "fetch,inference,query,scorer"
    error_message = "Every workload may read it."
  }
}

run "a_companys_subnet_of_another_region_is_refused" {
  command = plan

  variables {
    memorystore_enabled = true
    shared_network = {
      network    = "projects/their-network/global/networks/shared"
      subnetwork = "projects/their-network/regions/us-east4/subnetworks/search"
      cidr       = "10.0.0.0/26"
    }
  }

  expect_failures = [google_cloud_run_v2_service.inference]
}
