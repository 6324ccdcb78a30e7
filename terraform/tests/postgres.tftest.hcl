# The library in PostgreSQL, with and without Memorystore; by default Firestore has it.

mock_provider "google" {
  mock_resource "google_compute_address" {
    defaults = { address = "10.8.0.9" }
  }
  mock_resource "google_sql_database_instance" {
    defaults = { connection_name = "example-project:europe-west4:imagesearch-library" }
  }
}

variables {
  project_id        = "example-project"
  inference_image   = "registry.example.com/inference@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  function_archives = { query = "tests/empty.zip", fetch = "tests/empty.zip" }
}

run "the_library_may_be_in_postgresql" {
  command = apply

  # With all else that may be switched on: what cannot be destroyed in any order, destroying alone shows.
  variables {
    library             = "postgres"
    memorystore_enabled = true
    domain              = "search.example.com"
    alert_email         = "ops@example.com"
    collections         = { photos = { bucket = "example-photos", project_number = "210987654321" } }
  }

  assert {
    condition = (
      google_sql_database_instance.library[0].database_version == "POSTGRES_18"
      && google_sql_database_instance.library[0].settings[0].tier == "db-custom-2-8192"
      && google_sql_database_instance.library[0].settings[0].availability_type == "ZONAL"
      && google_sql_database_instance.library[0].settings[0].edition == "ENTERPRISE"
    )
    error_message = "The least that holds a million images in memory."
  }
  assert {
    condition = (
      google_sql_database_instance.library[0].deletion_protection
      && google_sql_database_instance.library[0].settings[0].deletion_protection_enabled
      && google_sql_database_instance.library[0].settings[0].backup_configuration[0].enabled
      && google_sql_database_instance.library[0].settings[0].backup_configuration[0].point_in_time_recovery_enabled
    )
    error_message = "It is protected and backed up."
  }
  assert {
    condition = (
      !google_sql_database_instance.library[0].settings[0].ip_configuration[0].ipv4_enabled
      && google_sql_database_instance.library[0].settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
      && one(google_sql_database_instance.library[0].settings[0].ip_configuration[0].psc_config).psc_enabled
      && one(google_sql_database_instance.library[0].settings[0].ip_configuration[0].psc_config).allowed_consumer_projects == toset(["example-project"])
    )
    error_message = "It is reached from this project's network alone, and encrypted."
  }
  assert {
    condition     = can(regex("^postgresql://imagesearch:[0-9a-f-]{36}@10\\.8\\.0\\.9/imagesearch\\?sslmode=require$", nonsensitive(google_secret_manager_secret_version.database_url[0].secret_data)))
    error_message = "The secret is what DATABASE_URL takes."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.query.service_config[0].environment_variables["LIBRARY"] == "postgres"
      && google_cloudfunctions2_function.fetch.service_config[0].environment_variables["LIBRARY"] == "postgres"
      && alltrue([for one in google_cloud_run_v2_service.inference : contains([for env in one.template[0].containers[0].env : env.name], "DATABASE_URL")])
      && contains(google_cloudfunctions2_function.query.service_config[0].secret_environment_variables[*].key, "DATABASE_URL")
      && contains(google_cloudfunctions2_function.fetch.service_config[0].secret_environment_variables[*].key, "DATABASE_URL")
    )
    error_message = "All services use it."
  }
  assert {
    condition     = join(",", keys(google_secret_manager_secret_iam_member.workload_reads_database_url)) == "fetch,inference,query,scorer"
    error_message = "And may read where it is."
  }
  assert {
    condition     = contains(keys(google_project_service.api), "sqladmin") && output.library_instance == "example-project:europe-west4:imagesearch-library"
    error_message = "Its API is on, and its name is told."
  }
}

run "it_needs_no_memorystore_and_can_be_given_up" {
  command = plan

  variables {
    library      = "postgres"
    protect_data = false
    postgres     = { tier = "db-custom-4-16384", disk_gb = 100, high_availability = true }
  }

  assert {
    condition = (
      length(google_compute_network.private) == 1
      && length(google_cloudfunctions2_function.query.service_config[0].direct_vpc_network_interface) == 1
      && length(google_redis_instance.cache) == 0
    )
    error_message = "The network is there for it alone."
  }
  assert {
    condition = (
      !google_sql_database_instance.library[0].deletion_protection
      && !google_sql_database_instance.library[0].settings[0].deletion_protection_enabled
      && google_sql_database_instance.library[0].settings[0].availability_type == "REGIONAL"
      && google_sql_database_instance.library[0].settings[0].disk_size == 100
    )
    error_message = "It is as large and as safe as is asked for."
  }
}

run "a_library_that_there_is_not_is_refused" {
  command = plan

  module { source = "./tests/variables" }

  variables {
    library = "sqlite"
  }

  expect_failures = [var.library]
}
