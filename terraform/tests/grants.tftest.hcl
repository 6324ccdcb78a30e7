# Who may do what. That there is no grant besides is in tests/unit/test_terraform.py, which sees all.

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

run "each_may_do_its_own_work" {
  command = apply

  variables {
    inference_profile = "split"
  }

  assert {
    condition = length(distinct([
      google_cloudfunctions2_function.query.service_config[0].service_account_email,
      google_cloudfunctions2_function.fetch.service_config[0].service_account_email,
      google_cloud_run_v2_service.inference["inference"].template[0].service_account,
      google_cloud_run_v2_service.inference["scorer"].template[0].service_account,
      google_service_account.push.email,
      google_service_account.build.email,
      google_service_account.deployer.email,
      google_service_account.planner.email,
    ])) == 8
    error_message = "One account for each workload."
  }
  assert {
    condition     = google_cloudfunctions2_function.query.build_config[0].service_account == google_service_account.build.id && google_cloudfunctions2_function.fetch.build_config[0].service_account == google_service_account.build.id
    error_message = "Functions are built by the build account, not by the project's default one."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.public_calls_query.role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.public_calls_query.name == google_cloudfunctions2_function.query.name
    error_message = "Anyone may call the query function."
  }
  assert {
    condition     = google_storage_bucket_iam_member.public_reads_images.role == "roles/storage.legacyObjectReader" && google_storage_bucket_iam_member.public_reads_images.bucket == google_storage_bucket.images.name
    error_message = "Anyone may read an image, and not list them."
  }
  assert {
    condition = !anytrue([for one in concat(
      values(google_cloud_run_v2_service_iam_member.query_calls_inference),
      values(google_cloud_run_v2_service_iam_member.deployer_updates_inference),
      [google_cloud_run_v2_service_iam_member.push_calls_fetch, google_cloud_run_v2_service_iam_member.push_calls_inference],
    ) : contains(["allUsers", "allAuthenticatedUsers"], one.member)])
    error_message = "Nobody calls the other services without an account of ours."
  }
  assert {
    condition     = google_cloudfunctions2_function.fetch.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "The fetch function cannot be reached from outside."
  }
  assert {
    condition     = google_storage_bucket.sources.public_access_prevention == "enforced"
    error_message = "The code is not public."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.workload_uses_catalog : one.condition[0].expression == "resource.name == \"projects/example-project/databases/(default)\""])
    error_message = "Rights on Firestore are held to the one database."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.workload_uses_catalog : contains(["roles/datastore.user", "roles/datastore.viewer"], one.role)])
    error_message = "Nobody administers it."
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.fetch_reads_pixabay_key.member == google_service_account.fetch.member
    error_message = "Pixabay's key is the fetch function's."
  }
  assert {
    condition     = !contains([for secret in google_cloudfunctions2_function.query.service_config[0].secret_environment_variables : secret.key], "PIXABAY_API_KEY")
    error_message = "The query function does not have it."
  }
  assert {
    condition     = one([for secret in google_cloudfunctions2_function.fetch.service_config[0].secret_environment_variables : secret.version if secret.key == "PIXABAY_API_KEY"]) == "latest"
    error_message = "It is read from Secret Manager."
  }
  assert {
    condition     = google_project_iam_member.build["roles/storage.objectViewer"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-123456789012-europe-west4/\")"
    error_message = "Builds read the bucket of the functions' sources and no other."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.deployer_writes_state) == 0 && length(google_storage_bucket_iam_member.planner_reads_state) == 0 && length(google_billing_account_iam_member.deployer_reads_budget) == 0
    error_message = "Nothing is granted on what is not named."
  }
  assert {
    condition     = alltrue([for one in google_project_iam_member.planner : contains(["roles/browser", "roles/logging.logWriter", "roles/serviceusage.serviceUsageConsumer"], one.role)])
    error_message = "What is proposed is planned with an account that sees next to nothing."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.planner_reads_cache.repository == google_artifact_registry_repository.cache.name && google_artifact_registry_repository_iam_member.planner_reads_cache.role == "roles/artifactregistry.reader"
    error_message = "It reads the cache of the builds, and no image."
  }
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

run "the_cache_keeps_one_of_each_and_the_images_ten" {
  command = apply

  assert {
    condition     = one(google_artifact_registry_repository.cache.cleanup_policies).condition[0].tag_state == "UNTAGGED"
    error_message = "What a newer build replaced loses its tag, and goes."
  }
  assert {
    condition     = one([for policy in google_artifact_registry_repository.images.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.action == "KEEP"]) == 10
    error_message = "Ten of each image stay for rolling back."
  }
}
